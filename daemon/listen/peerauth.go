package listen

import (
	"context"
	"log"
	"net/http"
	"strings"
	"time"

	"fleettop/daemon/api/server"
	"fleettop/daemon/keys"
)

// peerAuth serves other machines, which have shown their certificate, and lets
// those who have none join.
type peerAuth struct {
	credentials Credentials
	next, join  http.Handler
	joinTime    time.Duration
}

// ServeHTTP implements http.Handler.
func (a *peerAuth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.TLS != nil && len(r.TLS.PeerCertificates) == 0 {
		// Any client comes this far, so none may stay for long.
		server.BodyBy(r, time.Now().Add(a.joinTime))
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(2 * a.joinTime))
		a.join.ServeHTTP(w, r)
		return
	}
	if r.TLS == nil { // without a key, on loopback
		a.next.ServeHTTP(w, r)
		return
	}
	// A connection outlives the removal of the key it was made with, but
	// nothing is answered on it any more, and what is being answered ends.
	ctx, cancel := context.WithCancel(server.WithActor(r.Context(), keys.PeerName(r.TLS)))
	defer cancel()
	identity, changed := a.credentials.Identity(), a.credentials.Changed()
	if err := identity.Trusts(r.TLS); err != nil {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusForbidden)
		return
	}
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
			changed = a.credentials.Changed()
			if identity.Trusts(r.TLS) != nil {
				cancel()
			}
		}
	}()
	a.next.ServeHTTP(w, r.WithContext(ctx))
	cancel()
	<-watching
}

// handshakeLog is the error log of an HTTP server. It picks out the failed TLS
// handshakes, which the server reports in no other way.
type handshakeLog struct {
	refused func(source, why string)
	next    *log.Logger
}

const handshakePrefix = "http: TLS handshake error from "

// Write takes one line of the log.
func (h *handshakeLog) Write(line []byte) (int, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(string(line)), handshakePrefix)
	source, why, found := strings.Cut(rest, ": ")
	if !ok || !found {
		return len(line), h.next.Output(2, string(line))
	}
	h.refused(source, why)
	return len(line), nil
}
