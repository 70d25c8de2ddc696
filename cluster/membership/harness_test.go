package membership

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func id(n int) string { return fmt.Sprintf("%032x", n) }

// cable is a member's connection to the network. Pulled, it drops everything
// in both directions, as a machine does that lost its power.
type cable struct {
	*memberlist.NetTransport
	pulled  atomic.Bool
	muffled atomic.Bool // no packet comes in, streams do
	packets chan *memberlist.Packet
	streams chan net.Conn
	stop    chan struct{}
	running sync.WaitGroup
}

func plug(t testing.TB, ip string) *cable {
	t.Helper()
	nt, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{BindAddrs: []string{ip},
		Logger: log.New(io.Discard, "", 0)})
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{NetTransport: nt, packets: make(chan *memberlist.Packet), streams: make(chan net.Conn),
		stop: make(chan struct{})}
	c.running.Go(func() {
		for {
			select {
			case <-c.stop:
				return
			case p := <-nt.PacketCh():
				if !c.pulled.Load() && !c.muffled.Load() {
					select {
					case c.packets <- p:
					case <-c.stop:
						return
					}
				}
			}
		}
	})
	c.running.Go(func() {
		for {
			select {
			case <-c.stop:
				return
			case s := <-nt.StreamCh():
				if c.pulled.Load() {
					// A dead machine wouldn't even accept; staying mute is
					// the closest to it.
					c.running.Go(func() { <-c.stop; s.Close() })
					continue
				}
				select {
				case c.streams <- s:
				case <-c.stop:
					s.Close()
					return
				}
			}
		}
	})
	return c
}

func (c *cable) PacketCh() <-chan *memberlist.Packet { return c.packets }
func (c *cable) StreamCh() <-chan net.Conn           { return c.streams }

func (c *cable) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if c.pulled.Load() {
		return time.Now(), nil
	}
	return c.NetTransport.WriteToAddress(b, a)
}

func (c *cable) DialAddressTimeout(a memberlist.Address, d time.Duration) (net.Conn, error) {
	if c.pulled.Load() {
		time.Sleep(d)
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("cable pulled: i/o timeout")}
	}
	return c.NetTransport.DialAddressTimeout(a, d)
}

func (c *cable) Shutdown() error {
	err := c.NetTransport.Shutdown()
	close(c.stop)
	c.running.Wait()
	return err
}

// seat is a member under test.
type seat struct {
	*Membership
	cable *cable
}

func sit(t testing.TB, n int, change func(*Config)) *seat {
	t.Helper()
	cfg := Config{ID: id(n), BindAddr: "127.0.0.1", Logger: quiet()}
	c := plug(t, "127.0.0.1")
	cfg.Transport = func(func(netip.AddrPort, time.Time)) memberlist.NodeAwareTransport { return c }
	cfg.AdvertiseAddr, cfg.AdvertisePort = "127.0.0.1", c.GetAutoBindPort()
	if change != nil {
		change(&cfg)
	}
	m, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return &seat{m, c}
}

// gather makes a cluster of n members that all see each other.
func gather(t testing.TB, n int, change func(*Config)) []*seat {
	t.Helper()
	var seats []*seat
	for i := range n {
		s := sit(t, i+1, change)
		if i > 0 {
			if err := s.Join(t.Context(), []string{seats[0].Address()}); err != nil {
				t.Fatal(err)
			}
		}
		seats = append(seats, s)
	}
	for _, s := range seats {
		for i := range n {
			s.await(t, 60*time.Second, id(i+1), Alive)
		}
	}
	return seats
}

// await waits until s sees the member in one of the states, and returns it.
func (s *seat) await(t testing.TB, limit time.Duration, want string, states ...State) Member {
	t.Helper()
	deadline := time.After(limit)
	for {
		changed := s.Changed()
		m, ok := s.find(want)
		if ok && slices.Contains(states, m.State) {
			return m
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%s doesn't see %s as %v after %s, but as %+v", s.cfg.ID, want, states, limit, m)
		}
	}
}

func (s *seat) find(want string) (Member, bool) {
	for _, m := range s.Members() {
		if m.ID == want {
			return m, true
		}
	}
	return Member{}, false
}
