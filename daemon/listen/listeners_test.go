package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fleettop/daemon/api"
	"fleettop/daemon/api/server"
	"fleettop/daemon/keys"
	"fleettop/units/broadcast"
)

const patience = 60 * time.Second

// credentials are a machine's whose key a test changes.
type credentials struct {
	identity *keys.Identity
	change   broadcast.Signal

	mu       sync.Mutex // guards rejected
	rejected []string
}

func (c *credentials) Identity() *keys.Identity { return c.identity }
func (c *credentials) Changed() <-chan struct{} { return c.change.Changed() }
func (c *credentials) RejectionLogger(listener string) func(source, why string) {
	return func(source, why string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.rejected = append(c.rejected, listener+": "+why)
	}
}

func identity(t *testing.T, ring keys.Ring) *keys.Identity {
	t.Helper()
	id, err := keys.NewIdentity(keys.Config{Machine: strings.Repeat("a", 32), Address: net.IPv4(127, 0, 0, 1),
		Ring: ring, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// running are listeners that are served.
type running struct {
	*Listeners
	credentials *credentials
	dir         string
	waiting     chan struct{} // has one for each request that waits
	ended       chan struct{} // and one for each that its context ended
}

// start serves a handler that names the caller's role; /wait waits for its context's end.
func start(t *testing.T, c *credentials, change ...func(*Listeners)) *running {
	t.Helper()
	r := &running{credentials: c, dir: t.TempDir(), waiting: make(chan struct{}, 8), ended: make(chan struct{}, 8)}
	cfg := Config{Address: "127.0.0.1:0", Credentials: c, Log: slog.New(slog.DiscardHandler), Sockets: []Socket{
		{Path: r.path("all"), Role: api.Operator}, {Path: r.path("view"), Role: api.Viewer}}}
	var err error
	if r.Listeners, err = Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(r.Listeners)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/wait" {
			r.waiting <- struct{}{}
			<-req.Context().Done()
			r.ended <- struct{}{}
			return
		}
		fmt.Fprint(w, server.RoleOf(req.Context()))
	})
	join := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if _, err := io.ReadAll(req.Body); err != nil {
			r.ended <- struct{}{}
		}
		fmt.Fprint(w, "join")
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, handler, join) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the listeners ended with %v", err)
		}
		r.Close()
	})
	return r
}

func (r *running) path(name string) string { return filepath.Join(r.dir, name) }

// client is of a socket, or with config of the port for machines; "" is plain text there.
func (r *running) client(t *testing.T, socket string, config *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: config}
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		if socket != "" {
			return d.DialContext(ctx, "unix", r.path(socket))
		}
		return d.DialContext(ctx, "tcp", r.machines.Addr().String())
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// get is the answer's status and text.
func get(t *testing.T, c *http.Client, url string) (int, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// shown is the TLS of a machine that shows its certificate.
func shown(t *testing.T, id *keys.Identity) *tls.Config {
	t.Helper()
	cert, err := id.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{*cert}, InsecureSkipVerify: true}
}

func TestEachListenerGivesItsRole(t *testing.T) {
	ring := keys.NewRing(keys.Generate())
	r := start(t, &credentials{identity: identity(t, ring)})
	for _, c := range []struct {
		name, socket, url, want string
		tls                     *tls.Config
	}{
		{"the socket", "all", "http://x/", string(api.Operator), nil},
		{"the viewers' socket", "view", "http://x/", string(api.Viewer), nil},
		{"another machine", "", "https://x/", string(api.MachineRole), shown(t, identity(t, ring))},
		{"a machine without a certificate", "", "https://x/", "join",
			&tls.Config{InsecureSkipVerify: true, ServerName: keys.JoinServerName}},
	} {
		status, got, err := get(t, r.client(t, c.socket, c.tls), c.url)
		if err != nil || status != http.StatusOK || got != c.want {
			t.Errorf("%s: %d %q, %v; expected %q", c.name, status, got, err, c.want)
		}
	}
	stranger := r.client(t, "", shown(t, identity(t, keys.NewRing(keys.Generate()))))
	if _, got, err := get(t, stranger, "https://x/"); err == nil {
		t.Errorf("another cluster's machine is answered %q", got)
	}
	var rejected []string
	for end := time.Now().Add(patience); len(rejected) == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		r.credentials.mu.Lock() // the client may know before the server has said so
		rejected = slices.Clone(r.credentials.rejected)
		r.credentials.mu.Unlock()
	}
	if len(rejected) != 1 || !strings.HasPrefix(rejected[0], "API: ") {
		t.Errorf("rejected: %q, expected one at the API", rejected)
	}
}

// A client without a certificate can't hold a connection by a body that never ends.
func TestSlowJoinersAreCutOff(t *testing.T) {
	c := &credentials{identity: identity(t, keys.NewRing(keys.Generate()))}
	r := start(t, c, func(l *Listeners) { l.joinTime = 50 * time.Millisecond })
	config := &tls.Config{InsecureSkipVerify: true, ServerName: keys.JoinServerName}
	conn, err := tls.Dial("tcp", r.machines.Addr().String(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /join HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
	drip := time.NewTicker(100 * time.Millisecond)
	defer drip.Stop()
	for late := time.After(30 * time.Second); ; { // before the API's own limit for bodies
		select {
		case <-r.ended:
			return
		case <-late:
			t.Fatal("it holds its connection")
		case <-drip.C:
			fmt.Fprint(conn, "x")
		}
	}
}

// Without a key, on loopback, every process of this machine is a machine.
func TestPlainTextWithoutAKey(t *testing.T) {
	r := start(t, &credentials{})
	if _, got, err := get(t, r.client(t, "", nil), "http://x/"); err != nil || got != string(api.MachineRole) {
		t.Errorf("%q, %v", got, err)
	}
}

// A key that is dropped ends what is answered on connections that were made with it.
func TestDroppedKeyEndsItsConnections(t *testing.T) {
	old, next := keys.Generate(), keys.Generate()
	c := &credentials{identity: identity(t, keys.NewRing(next, old))}
	r := start(t, c)
	client := r.client(t, "", shown(t, identity(t, keys.NewRing(old))))
	if _, got, err := get(t, client, "https://x/"); err != nil || got != string(api.MachineRole) {
		t.Fatalf("%q, %v", got, err)
	}
	go func() { _, _, _ = get(t, client, "https://x/wait") }()
	<-r.waiting
	if err := c.identity.SetRing(keys.NewRing(next)); err != nil {
		t.Fatal(err)
	}
	c.change.Notify()
	select {
	case <-r.ended:
	case <-time.After(patience):
		t.Fatal("a request goes on after its key was dropped")
	}
	if status, got, err := get(t, client, "https://x/"); err == nil && status != http.StatusForbidden {
		t.Errorf("with a dropped key: %d %q", status, got)
	}
}

// A socket whose file was removed is made again, and connections that are open go on.
func TestSocketIsRestored(t *testing.T) {
	r := start(t, &credentials{})
	open := r.client(t, "all", nil)
	if _, _, err := get(t, open, "http://x/"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(r.path("all")), os.Remove(r.path("view"))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(t, open, "http://x/"); err != nil {
		t.Errorf("a connection that was open: %v", err)
	}
	r.Restore()
	for _, name := range []string{"all", "view"} {
		if _, _, err := get(t, r.client(t, name, nil), "http://x/"); err != nil {
			t.Errorf("%s was not made again: %v", name, err)
		}
	}
}
