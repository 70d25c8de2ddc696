package sshd

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
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
	Burst          int           // of failed logins of one source, before each has a single key to try; 20
	PerFailure     time.Duration // until a failure is forgotten; 2 s
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
	}{{&l.PerFailure, 2 * time.Second}, {&l.FirstWord, 15 * time.Second}, {&l.Login, 90 * time.Second}, {&l.Empty,
		time.Minute},
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

	mu       sync.Mutex // guards what follows, and the fields of each login but close
	sources  map[netip.Prefix]*source
	begun    uint64 // logins ever
	logins   int    // under way
	sessions int
	byKey    map[string]int
}

// source is an address, or the network that is one household's with IPv6.
type source struct {
	logins []*login // under way, the oldest first
	debt   float64  // failures that still count
	at     time.Time
}

// login is a stranger's connection until a key is proven on it, or it ends.
type login struct {
	number uint64
	from   netip.Prefix
	known  bool   // it has shown a key that may come in, and is to prove it
	over   bool   // no longer counted
	close  func() // ends the connection; must not block
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

// begin counts a stranger who tries to log in. Where as many try as may, the
// oldest makes room, one that has not shown a key yet before one that has: who
// holds connections without logging in keeps no one out. A login must end.
func (g *gate) begin(from netip.Addr, now time.Time, closeConn func()) *login {
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
	if len(s.logins) >= g.limits.LoginsPerFrom {
		g.makeRoom(s)
	}
	if g.logins >= g.limits.Logins {
		g.makeRoom(g.crowd())
	}
	g.begun++
	l := &login{number: g.begun, from: id, close: closeConn}
	s.logins = append(s.logins, l)
	g.logins++
	return l
}

// makeRoom ends a login of a source, which has one; g.mu is held.
func (g *gate) makeRoom(s *source) {
	l := s.logins[max(0, slices.IndexFunc(s.logins, func(l *login) bool { return !l.known }))]
	g.forgo(l)
	l.close()
}

// crowd is the source with the most logins, and of several the one whose oldest
// is the oldest; g.mu is held.
func (g *gate) crowd() *source {
	var crowd *source
	for _, s := range g.sources {
		if len(s.logins) == 0 {
			continue
		}
		if crowd == nil || len(s.logins) > len(crowd.logins) ||
			len(s.logins) == len(crowd.logins) && s.logins[0].number < crowd.logins[0].number {
			crowd = s
		}
	}
	return crowd
}

// forgo counts a login no longer; g.mu is held.
func (g *gate) forgo(l *login) {
	if l.over {
		return
	}
	l.over = true
	g.logins--
	if s := g.sources[l.from]; s != nil {
		s.logins = slices.DeleteFunc(s.logins, func(x *login) bool { return x == l })
	}
}

// showed notes that a login has shown a key that may come in.
func (g *gate) showed(l *login) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l.known = true
}

// owes reports whether so many logins of a source failed lately that each one
// has a single key to try. It is never shut out: a neighbour who fails would
// shut out those that have the right key.
func (g *gate) owes(l *login, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.sources[l.from]
	if s == nil {
		return false
	}
	s.fade(now, g.limits.PerFailure)
	return s.debt > float64(g.limits.Burst)-1
}

// end ends a login.
func (g *gate) end(l *login, now time.Time, failed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forgo(l)
	s := g.sources[l.from]
	if s == nil {
		return
	}
	s.fade(now, g.limits.PerFailure)
	if failed {
		s.debt = min(s.debt+1, float64(g.limits.Burst))
	}
}

// forget makes room: whoever owes nothing goes, else half of those that only owe.
func (g *gate) forget(now time.Time) {
	for _, s := range g.sources {
		s.fade(now, g.limits.PerFailure)
	}
	maps.DeleteFunc(g.sources, func(_ netip.Prefix, s *source) bool { return len(s.logins) == 0 && s.debt == 0 })
	for id, s := range g.sources {
		if len(g.sources) <= maxSources/2 {
			return
		}
		if len(s.logins) == 0 {
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
		return fmt.Errorf("%d sessions are open already, as many as may be: try again later, or come in over another machine",
			g.sessions)
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
