package server

import (
	"io"
	"net/http"
	"time"
)

const (
	bodySilence = 10 * time.Second // the longest silence within a request's body
	bodyTime    = 2 * time.Minute  // for all of it
)

// timeBodies bounds how long a request's body may take, so that a client that
// stops sending holds no connection. What is answered may take any time.
func timeBodies(next http.Handler) http.Handler { return timeBodiesBy(bodySilence, bodyTime, next) }

func timeBodiesBy(silence, all time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		b := &timedBody{ReadCloser: r.Body, c: http.NewResponseController(w), silence: silence, until: time.Now().Add(all)}
		b.arm() // also for a body that nothing reads but the server, when the handler has returned
		timed := *r
		timed.Body = b
		next.ServeHTTP(w, &timed)
	})
}

// BodyBy makes a request's body end by a time, where a server of HTTPServer's
// serves the request: for handlers that any client may reach.
func BodyBy(r *http.Request, t time.Time) {
	if b, ok := r.Body.(*timedBody); ok && t.Before(b.until) {
		b.until = t
	}
}

// timedBody is a request's body that must come in time.
type timedBody struct {
	io.ReadCloser
	c       *http.ResponseController
	silence time.Duration
	until   time.Time
}

func (b *timedBody) arm() {
	deadline := time.Now().Add(b.silence)
	if deadline.After(b.until) {
		deadline = b.until
	}
	_ = b.c.SetReadDeadline(deadline)
}

// Read implements io.Reader.
func (b *timedBody) Read(p []byte) (int, error) {
	b.arm()
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		// From here on the server reads to see whether the client is still there.
		_ = b.c.SetReadDeadline(time.Time{})
	}
	return n, err
}
