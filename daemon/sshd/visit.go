package sshd

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/charmbracelet/ssh"
	gossh "golang.org/x/crypto/ssh"
)

type visitKey struct{}

func visitOf(ctx ssh.Context) *visit {
	v, _ := ctx.Value(visitKey{}).(*visit)
	return v
}

// visit is a connection: a stranger's at first, then that of somebody with a key.
type visit struct {
	net.Conn
	from    netip.Addr
	limits  *Limits
	login   *login         // until a key is proven
	gone    chan struct{}  // closed when the connection is
	running sync.WaitGroup // its sessions

	mu       sync.Mutex // guards what follows
	clock    *time.Timer
	ended    bool
	in       bool
	late     bool
	method   string // last tried in vain
	stranger string // fingerprint of the last key that may not come in
	sessions int
	alive    bool // somebody looks whether the other end still is
}

// setClock closes the connection unless somebody is in by then.
func (v *visit) setClock(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.in || v.ended {
		return
	}
	if v.clock != nil {
		v.clock.Stop()
	}
	v.clock = time.AfterFunc(d, func() {
		v.mu.Lock()
		v.late = !v.in
		late := v.late
		v.mu.Unlock()
		if late {
			v.Close()
		}
	})
}

func (v *visit) offered(fingerprint string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stranger = fingerprint
}

func (v *visit) missed(method string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.method = method
}

// letIn notes that a key was proven.
func (v *visit) letIn() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.in = true
	v.waitForSession()
}

// waitForSession closes the connection if nobody does anything with it.
func (v *visit) waitForSession() {
	v.clock.Stop()
	v.clock = time.AfterFunc(v.limits.Empty, func() {
		v.mu.Lock()
		empty := v.sessions == 0
		v.mu.Unlock()
		if empty {
			v.Close()
		}
	})
}

func (v *visit) isIn() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.in
}

// failure says why somebody who tried to log in isn't in. Who only looked at
// the port did not try.
func (v *visit) failure() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.stranger != "":
		return "none of its keys may come in, the last was " + v.stranger
	case v.late:
		return "it did not log in in time"
	case v.method != "":
		return "it has no key that may come in"
	}
	return ""
}

// begin counts a session, unless the connection is gone already. It is the
// first one that has the other end asked for signs of life.
func (v *visit) begin(conn *gossh.ServerConn) (first, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended {
		return false, false
	}
	v.sessions++
	v.running.Add(1)
	v.clock.Stop()
	if first = !v.alive; first {
		v.alive = true
		v.running.Go(func() { v.keepAlive(conn) })
	}
	return first, true
}

// finish ends a session that began.
func (v *visit) finish() {
	v.mu.Lock()
	if v.sessions--; v.sessions == 0 && !v.ended {
		v.waitForSession()
	}
	v.mu.Unlock()
	v.running.Done()
}

// end waits for the sessions of a connection that is closed.
func (v *visit) end() {
	v.Close()
	v.mu.Lock()
	v.ended = true
	v.clock.Stop()
	v.mu.Unlock()
	close(v.gone)
	v.running.Wait()
}

// keepAlive closes a connection whose other end is silent for too long.
func (v *visit) keepAlive(conn *gossh.ServerConn) {
	tick := time.NewTicker(v.limits.Alive)
	defer tick.Stop()
	for {
		select {
		case <-v.gone:
			return
		case <-tick.C:
		}
		silent := time.AfterFunc(v.limits.Dead, func() { v.Close() })
		_, _, err := conn.SendRequest("keepalive@openssh.com", true, nil)
		silent.Stop()
		if err != nil {
			return
		}
	}
}
