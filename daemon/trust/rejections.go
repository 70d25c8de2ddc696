package trust

import (
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"
)

const (
	rejectedEvery = 10 * time.Minute // between log lines about the same source at the same listener
	rejectedMost  = 256              // sources that are logged in that time
)

// rejections logs who was not let in, now and then for each source.
type rejections struct {
	log *slog.Logger

	mu   sync.Mutex           // guards what follows
	at   map[string]time.Time // when each source was logged last
	full time.Time            // when at had no room left
}

// RejectionLogger returns what a listener calls for each caller that it didn't
// let in: from which address, and why.
func (c *Credentials) RejectionLogger(listener string) func(source, why string) {
	return func(source, why string) { c.rejected.add(listener, source, why) }
}

func (r *rejections) add(listener, source, why string) {
	if strings.HasSuffix(why, "EOF") || strings.HasSuffix(why, "reset by peer") ||
		strings.HasSuffix(why, net.ErrClosed.Error()) {
		return // a port scan, or our own end
	}
	if host, _, err := net.SplitHostPort(source); err == nil {
		source = host
	}
	if r.shouldLog(listener+" "+source, time.Now()) {
		r.log.Warn("refused: "+why, "listener", listener, "source", source)
	}
}

// shouldLog reports whether it is time to log a source.
func (r *rejections) shouldLog(source string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, ok := r.at[source]; ok && now.Sub(at) < rejectedEvery {
		return false
	}
	for s, at := range r.at {
		if now.Sub(at) >= rejectedEvery {
			delete(r.at, s)
		}
	}
	if len(r.at) >= rejectedMost {
		if now.Sub(r.full) >= rejectedEvery {
			r.full = now
			r.log.Warn("refused connections come from very many addresses; the others are not logged", "for", rejectedEvery)
		}
		return false
	}
	r.at[source] = now
	return true
}
