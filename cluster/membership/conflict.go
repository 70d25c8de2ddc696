package membership

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
)

// A record of our ID at another address is either a second daemon with our
// machine-id, or what is left of our own life at that address. A ping tells
// which: it names the member it wants, and only a living one answers.

const (
	claimPings    = 3                      // unanswered pings that make a record a leftover
	rejoinDelay   = 500 * time.Millisecond // between attempts to replace a leftover
	conflictEvery = time.Minute            // a conflict is reported at most this often
)

// aliveDelegate is memberlist's AliveDelegate and MergeDelegate: it sees what others
// have on record. It refuses no member, as memberlist itself keeps two addresses
// from having one name, and must not block.
type aliveDelegate struct{ m *Membership }

// NotifyAlive sees every message that a member is alive.
func (d aliveDelegate) NotifyAlive(peer *memberlist.Node) error {
	d.m.noteClaim(peer)
	return nil
}

// NotifyMerge sees what a member that was joined has, also of suspects and the dead.
func (d aliveDelegate) NotifyMerge(peers []*memberlist.Node) error {
	for _, peer := range peers {
		d.m.noteClaim(peer)
	}
	return nil
}

// noteClaim notes a record of our own ID at another address.
func (m *Membership) noteClaim(peer *memberlist.Node) {
	if peer.Name != m.cfg.ID {
		return
	}
	m.mu.Lock()
	foreign := m.address != "" && peer.Address() != m.address
	if foreign {
		m.claimed[peer.Address()] = true
	}
	m.mu.Unlock()
	if foreign {
		select {
		case m.idClaims <- peer.Address():
		default: // the next one will do
		}
	}
}

// judgeClaims looks into claims to our ID: a living claimant is reported, a
// leftover is replaced by joining again, which brings the next claim of
// members that haven't given up the old address yet.
func (m *Membership) judgeClaims() {
	for {
		select {
		case <-m.stop:
			return
		case addr := <-m.idClaims:
			if m.claimantLives(addr) {
				m.report(addr)
				continue
			}
			select {
			case <-m.stop:
				return
			case <-time.After(rejoinDelay):
			}
			m.rejoin()
		}
	}
}

// claimantLives reports whether a member other than this one answers to our ID at addr.
func (m *Membership) claimantLives(addr string) bool {
	udp, err := net.ResolveUDPAddr("udp", addr)
	if err != nil || m.isOwn(udp) {
		return false
	}
	for range claimPings {
		if _, err := m.serf.Memberlist().Ping(m.cfg.ID, udp); err == nil {
			return true
		}
	}
	return false
}

// isOwn reports whether addr leads back to this member, as an address does that
// was advertised in an earlier life.
func (m *Membership) isOwn(addr *net.UDPAddr) bool {
	_, port, _ := net.SplitHostPort(m.address)
	if strconv.Itoa(addr.Port) != port {
		return false
	}
	if bound := net.ParseIP(m.cfg.BindAddr); !bound.IsUnspecified() {
		return bound.Equal(addr.IP)
	}
	locals, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, l := range locals {
		if n, ok := l.(*net.IPNet); ok && n.IP.Equal(addr.IP) {
			return true
		}
	}
	return false
}

func (m *Membership) report(addr string) {
	m.mu.Lock()
	now := time.Now()
	at, reported := m.reported[addr]
	due := !reported || now.Sub(at) >= conflictEvery
	if due {
		m.reported[addr] = now
	}
	m.mu.Unlock()
	if due && m.cfg.OnConflict != nil {
		m.cfg.OnConflict(&ConflictError{ID: m.cfg.ID, Address: addr})
	}
}

// rejoin trades state with all living members. One that has seen a leftover
// die takes the new address, and doesn't convince another that is about to.
func (m *Membership) rejoin() {
	for _, member := range m.Members() {
		if member.ID != m.cfg.ID && member.State == Alive {
			_, _ = m.serf.Memberlist().Join([]string{member.ID + "/" + member.Address}) // the next claim tries again
		}
	}
}

// conflict returns the living member that claimed our ID since the last call, if any.
func (m *Membership) conflict(ctx context.Context) error {
	m.mu.Lock()
	claimed := m.claimed
	m.claimed = map[string]bool{}
	m.mu.Unlock()
	for addr := range claimed {
		if ctx.Err() == nil && m.claimantLives(addr) {
			return &ConflictError{ID: m.cfg.ID, Address: addr}
		}
	}
	return nil
}
