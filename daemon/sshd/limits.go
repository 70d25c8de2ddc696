package sshd

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limits bound what people, and strangers, can make a Server do. A zero value
// is the default.
type Limits struct {
	Sessions       int           // at once; 64
	SessionsPerKey int           // 16
	Logins         int           // under way at once; 64
	LoginsPerFrom  int           // of one source; 16
	Burst          int           // of failed logins of one source; 20
	PerFailure     time.Duration // until one source may fail once more; 2 s
	FirstWord      time.Duration // for a stranger to show a key that is known; 15 s
	Login          time.Duration // then, to prove it, with a passphrase typed; 90 s
	Empty          time.Duration // of a connection without a session; 1 min
	Idle           time.Duration // of a console without a key pressed; 12 h
	Alive          time.Duration // between signs of life of a client; 30 s
	Dead           time.Duration // without one; 3 min
}

func (l *Limits) complete() {
	for _, n := range []struct {
		v   *int
		def int
	}{{&l.Sessions, 64}, {&l.SessionsPerKey, 16}, {&l.Logins, 64}, {&l.LoginsPerFrom, 16}, {&l.Burst, 20}} {
		if *n.v == 0 {
			*n.v = n.def
		}
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&l.PerFailure, 2 * time.Second}, {&l.FirstWord, 15 * time.Second}, {&l.Login, 90 * time.Second}, {&l.Empty, time.Minute},
		{&l.Idle, 12 * time.Hour}, {&l.Alive, 30 * time.Second}, {&l.Dead, 3 * time.Minute}} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
}

// maxSources bounds what is remembered of strangers.
const maxSources = 4096

// gate counts who is in, and who tries to be.
type gate struct {
	limits Limits

	mu       sync.Mutex // guards what follows
	sources  map[netip.Prefix]*source
	logins   int
	sessions int
	byKey    map[string]int
}

// source is an address, or the network that is one household's with IPv6.
type source struct {
	logins int     // under way
	debt   float64 // failures that still count
	at     time.Time
}

func newGate(l Limits) *gate {
	return &gate{limits: l, sources: map[netip.Prefix]*source{}, byKey: map[string]int{}}
}

// sourceOf is the address of a connection's other end.
func sourceOf(addr net.Addr) netip.Addr {
	if ap, err := netip.ParseAddrPort(addr.String()); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

func household(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // of no address it is the zero prefix
	return p
}

// fade lets failures be forgotten with time.
func (s *source) fade(now time.Time, each time.Duration) {
	s.debt = max(0, s.debt-float64(now.Sub(s.at))/float64(each))
	s.at = now
}

// begin admits a stranger to try to log in, or says why not. A login that
// began must end.
func (g *gate) begin(from netip.Addr, now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := household(from)
	s := g.sources[id]
	if s == nil {
		if len(g.sources) >= maxSources {
			g.forget(now)
		}
		s = &source{at: now}
		g.sources[id] = s
	}
	s.fade(now, g.limits.PerFailure)
	switch {
	case s.debt >= float64(g.limits.Burst):
		return fmt.Errorf("more than %d logins failed in a row", g.limits.Burst)
	case s.logins >= g.limits.LoginsPerFrom:
		return fmt.Errorf("it has %d logins under way already", s.logins)
	case g.logins >= g.limits.Logins:
		return fmt.Errorf("%d logins are under way already", g.logins)
	}
	s.logins++
	g.logins++
	return nil
}

// end ends a login.
func (g *gate) end(from netip.Addr, now time.Time, failed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.logins--
	s := g.sources[household(from)]
	if s == nil {
		return
	}
	s.logins--
	s.fade(now, g.limits.PerFailure)
	if failed {
		s.debt++
	}
}

// forget makes room: whoever owes nothing goes, else half of those that only owe.
func (g *gate) forget(now time.Time) {
	for _, s := range g.sources {
		s.fade(now, g.limits.PerFailure)
	}
	maps.DeleteFunc(g.sources, func(_ netip.Prefix, s *source) bool { return s.logins == 0 && s.debt == 0 })
	for id, s := range g.sources {
		if len(g.sources) <= maxSources/2 {
			return
		}
		if s.logins == 0 {
			delete(g.sources, id)
		}
	}
}

// enter counts a session in, or says why there is no room for it.
func (g *gate) enter(key string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.sessions >= g.limits.Sessions:
		return fmt.Errorf("%d sessions are open already, as many as may be: try again later, or come in over another machine", g.sessions)
	case g.byKey[key] >= g.limits.SessionsPerKey:
		return fmt.Errorf("this key has %d sessions open already, as many as may be: close one of them", g.byKey[key])
	}
	g.sessions++
	g.byKey[key]++
	return nil
}

// leave counts a session out.
func (g *gate) leave(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sessions--
	if g.byKey[key]--; g.byKey[key] == 0 {
		delete(g.byKey, key)
	}
}
