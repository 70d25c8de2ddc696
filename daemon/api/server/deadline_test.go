package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serveTimed serves a handler behind the bound on bodies, and returns a dialer.
func serveTimed(t *testing.T, silence, all time.Duration, h http.HandlerFunc) func() net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := HTTPServer(t.Context(), nil, slog.New(slog.DiscardHandler))
	server.Handler = timeBodiesBy(silence, all, h)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-served })
	return func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		return c
	}
}

func TestSlowBodiesEnd(t *testing.T) {
	read := make(chan error, 1)
	handlers := map[string]http.HandlerFunc{
		"that is read":      func(_ http.ResponseWriter, r *http.Request) { _, err := io.ReadAll(r.Body); read <- err },
		"that nobody reads": func(http.ResponseWriter, *http.Request) { read <- io.ErrUnexpectedEOF },
	}
	for name, h := range handlers {
		t.Run(name, func(t *testing.T) {
			c := serveTimed(t, 50*time.Millisecond, time.Minute, h)()
			fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab")
			if err := <-read; err == nil {
				t.Error("a body that stopped was read to its end")
			}
			if _, err := io.Copy(io.Discard, c); err != nil {
				t.Errorf("the connection is still held: %v", err)
			}
		})
	}
	t.Run("of any client", func(t *testing.T) {
		c := serveTimed(t, time.Minute, time.Hour, func(w http.ResponseWriter, r *http.Request) {
			BodyBy(r, time.Now().Add(50*time.Millisecond))
			handlers["that is read"](w, r)
		})()
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab")
		if err := <-read; err == nil {
			t.Error("a body that stopped was read to its end")
		}
	})
	t.Run("that trickles", func(t *testing.T) {
		c := serveTimed(t, time.Minute, 200*time.Millisecond, handlers["that is read"])()
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
		for {
			select {
			case err := <-read:
				if err == nil {
					t.Error("it was read to its end")
				}
				return
			default:
			}
			if _, err := fmt.Fprint(c, "a"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// What is answered may take longer than a body may, and a client that hangs up
// is noticed meanwhile.
func TestAnswersAreNotTimed(t *testing.T) {
	const silence = 300 * time.Millisecond
	ended := make(chan error, 1)
	dial := serveTimed(t, silence, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			t.Errorf("a whole body: %v", err)
		}
		if strings.HasPrefix(r.URL.Path, "/long") {
			select {
			case <-r.Context().Done():
			case <-time.After(4 * silence):
			}
			ended <- context.Cause(r.Context())
			return
		}
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
	})
	c := dial()
	for range 2 { // the second on the same connection
		fmt.Fprint(c, "POST /long HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab")
		if err := <-ended; err != nil {
			t.Errorf("a long answer was cut: %v", err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	fmt.Fprint(c, "POST /for-ever HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab")
	c.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("no reason was given")
		}
	case <-time.After(30 * time.Second):
		t.Error("a client that hung up isn't noticed")
	}
}
