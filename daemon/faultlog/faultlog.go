// Package faultlog keeps a fault that lasts from filling the log: the same
// fault of the same thing is said once, and then counted.
package faultlog

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	// first is how long a fault is only counted after it was said; the time
	// doubles, up to longest, each time it is said again with its count.
	first   = time.Minute
	longest = time.Hour
	// most is how many faults are kept in mind.
	most = 4096
)

// Handler hands records to another handler. Of warnings and errors that say
// the same of the same thing it lets the first one through, and later ones now
// and then, with the number of those in between.
type Handler struct {
	slog.Handler
	faults *faults
	scope  string // the attributes and groups given by With
}

// New returns a Handler before next.
func New(next slog.Handler) *Handler {
	return &Handler{Handler: next, faults: &faults{known: map[string]*fault{}}}
}

// Handle implements slog.Handler.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return h.Handler.Handle(ctx, r)
	}
	var key strings.Builder
	key.WriteString(h.scope + r.Message)
	r.Attrs(func(a slog.Attr) bool {
		addAttr(&key, a)
		return true
	})
	repeated, say := h.faults.count(key.String(), r.Time)
	if !say {
		return nil
	}
	if repeated > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("repeated", repeated))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var scope strings.Builder
	scope.WriteString(h.scope)
	for _, a := range attrs {
		addAttr(&scope, a)
	}
	return &Handler{Handler: h.Handler.WithAttrs(attrs), faults: h.faults, scope: scope.String()}
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{Handler: h.Handler.WithGroup(name), faults: h.faults, scope: h.scope + name + "\x00"}
}

// random matches the random part of the name of a temporary file.
var random = regexp.MustCompile(`[0-9]{5,}`)

// addAttr adds what tells one thing from another: strings, but no numbers and
// times, which differ each time. So do the names of temporary files in errors.
func addAttr(key *strings.Builder, a slog.Attr) {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		key.WriteString("\x00" + a.Key + "=" + v.String())
	case slog.KindAny:
		text := v.String()
		if _, ok := v.Any().(error); ok {
			text = random.ReplaceAllString(text, "")
		}
		key.WriteString("\x00" + a.Key + "=" + text)
	}
}

// faults are those that were said.
type faults struct {
	mu    sync.Mutex // guards what follows
	known map[string]*fault
}

type fault struct {
	said  time.Time
	quiet time.Duration // how long it is only counted, from then on
	count int           // since then
}

// count notes a fault; say reports whether it is to be said, and repeated how
// often it came since it was.
func (f *faults) count(key string, now time.Time) (repeated int, say bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.known[key]
	switch {
	case known == nil:
		if len(f.known) >= most {
			f.forget(now)
		}
		f.known[key] = &fault{said: now, quiet: first}
		return 0, true
	case now.Sub(known.said) < known.quiet:
		known.count++
		return 0, false
	}
	repeated = known.count
	if repeated == 0 { // it was over, and is new
		known.quiet = first
	} else {
		known.quiet = min(2*known.quiet, longest)
	}
	known.said, known.count = now, 0
	return repeated, true
}

// forget makes room: those that would be said anyway go, or else all.
func (f *faults) forget(now time.Time) {
	for key, known := range f.known {
		if now.Sub(known.said) >= known.quiet {
			delete(f.known, key)
		}
	}
	if len(f.known) >= most {
		clear(f.known)
	}
}
