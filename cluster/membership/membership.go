package membership

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"fleettop/units/broadcast"
)

// Membership is this machine's seat in the cluster. Its methods are safe for
// concurrent use.
type Membership struct {
	cfg      Config
	serf     *serf.Serf
	keyring  *memberlist.Keyring
	address  string // gossip host:port as advertised
	events   chan serf.Event
	outbox   chan message  // what is to be gossiped; see gossip.go
	idClaims chan string   // addresses that claim our ID; see conflict.go
	wake     chan struct{} // a suspicion began, and with it its time limit
	packets  hearing
	stop     chan struct{}
	running  sync.WaitGroup

	leave struct {
		sync.Mutex               // guards started
		started    chan struct{} // closed when the leave is over; nil before it began
		err        error         // read after started is closed
	}
	closing  sync.Once
	closeErr error

	mu       sync.Mutex // guards what follows
	table    *table
	changed  broadcast.Signal
	refuted  time.Time            // when we last gossiped that we live
	reported map[string]time.Time // when OnConflict was called for each address
	claimed  map[string]bool      // addresses that claimed our ID since the last Join
}

// Open starts gossiping as a cluster of one. Close ends it. Its errors are about
// the configuration, or an address that can't be listened on.
func Open(cfg Config) (*Membership, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	m := &Membership{
		cfg:      cfg,
		events:   make(chan serf.Event, 256),
		outbox:   make(chan message, 64),
		idClaims: make(chan string, 1),
		wake:     make(chan struct{}, 1),
		stop:     make(chan struct{}),
		table:    newTable(cfg.ID),
		reported: map[string]time.Time{},
		claimed:  map[string]bool{},
	}
	tap := &logTap{log: cfg.Logger, unanswered: m.unanswered, suspected: m.doubt, overTCP: m.overTCP, refused: cfg.Refused,
		last: map[string]time.Time{}}
	var err error
	if m.keyring, err = memberlist.NewKeyring(cfg.OtherKeys, cfg.SecretKey); err != nil {
		return nil, fmt.Errorf("gossip: the secret key: %w", err)
	}
	var transport memberlist.NodeAwareTransport
	if cfg.Transport != nil {
		transport = cfg.Transport(m.packets.heard)
	} else if transport, err = openTransport(cfg.BindAddr, cfg.BindPort, cfg.Logger, m.packets.heard); err != nil {
		return nil, m.notOpen(err)
	}
	entry := startBarrier{transport, make(chan struct{})}
	s, err := serf.Create(cfg.serfConfig(entry, m.keyring, log.New(tap, "", 0), pingDelegate{m}, aliveDelegate{m},
		m.events))
	close(entry.open)
	if err != nil {
		return nil, m.notOpen(errors.Join(err, transport.Shutdown()))
	}
	m.serf = s
	m.mu.Lock()
	m.address = s.Memberlist().LocalNode().Address()
	m.mu.Unlock()
	for _, run := range []func(){m.listen, m.sendLoop, m.judgeClaims} {
		m.running.Go(run)
	}
	// The record of this member itself goes through the same channel as all
	// others; it is there before anybody can ask.
	for changed := m.Changed(); m.empty(); changed = m.Changed() {
		<-changed
	}
	return m, nil
}

func (m *Membership) notOpen(err error) error {
	return fmt.Errorf("gossip on %s: %w: choose a free address of this machine (--address, --port)",
		net.JoinHostPort(m.cfg.BindAddr, strconv.Itoa(m.cfg.BindPort)), err)
}

func (m *Membership) empty() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.table.members) == 0
}

// Address returns the gossip host:port that others reach this member at.
func (m *Membership) Address() string { return m.address }

// Members returns all members known, this one and those that failed or left
// included, sorted by ID.
func (m *Membership) Members() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.table.list(time.Now())
	for i := range list {
		list[i].LastPacket = m.packets.last(list[i].Address)
	}
	return list
}

// Changed returns a channel that is closed at the next change of Members: a
// member, its state, its address or its tags. Get the channel first and the
// members after it, and no change is missed.
func (m *Membership) Changed() <-chan struct{} { return m.changed.Changed() }

// SetTags replaces this member's tags and gossips them; it blocks until they
// are sent, a second at most. After an error the others hear of them within a
// minute, unless they are too long.
func (m *Membership) SetTags(tags map[string]string) error {
	if err := m.serf.SetTags(tags); err != nil {
		return fmt.Errorf("gossip new tags: %w: they may add up to %d bytes, and reach the others within a minute in "+
			"any case", err, memberlist.MetaMaxSize)
	}
	return nil
}

// SetKeys makes gossip use a key and accept others besides it, and no more
// than those. A Membership opened without a key stays without, which
// is an error.
func (m *Membership) SetKeys(use []byte, others [][]byte) error {
	if len(m.keyring.GetKeys()) == 0 {
		return errors.New("gossip isn't encrypted, and can't become so while it runs")
	}
	wanted := append([][]byte{use}, others...)
	for _, key := range wanted {
		if err := m.keyring.AddKey(key); err != nil {
			return err
		}
	}
	if err := m.keyring.UseKey(use); err != nil {
		return err
	}
	for _, key := range slices.Clone(m.keyring.GetKeys()) {
		if !slices.ContainsFunc(wanted, func(w []byte) bool { return bytes.Equal(w, key) }) {
			if err := m.keyring.RemoveKey(key); err != nil {
				return err
			}
		}
	}
	return nil
}

// Leave says goodbye, so that the others see this member as left and not as
// failed. It blocks until that is gossiped, or ctx ends; Close still has to
// be called. Its error means that the others may see this member fail.
func (m *Membership) Leave(ctx context.Context) error {
	m.leave.Lock()
	if m.leave.started == nil {
		done := make(chan struct{})
		m.leave.started = done
		m.running.Go(func() {
			defer close(done)
			m.leave.err = m.serf.Leave()
		})
	}
	done := m.leave.started
	m.leave.Unlock()
	select {
	case <-done:
		return m.leave.err
	case <-ctx.Done():
		return fmt.Errorf("say goodbye to the cluster: %w: the others will see this machine as failed if they didn't "+
			"hear it", ctx.Err())
	}
}

// Close ends gossip and returns when all has stopped. Without a Leave before
// it, the others see this member fail. It waits for a Leave under way.
func (m *Membership) Close() error {
	m.closing.Do(func() {
		m.leave.Lock()
		done := m.leave.started
		if done == nil { // no Leave may begin any more
			done = make(chan struct{})
			m.leave.err = net.ErrClosed
			close(done)
			m.leave.started = done
		}
		m.leave.Unlock()
		<-done
		m.closeErr = m.serf.Shutdown()
		close(m.stop)
		m.running.Wait()
	})
	return m.closeErr
}

// update runs a change of the table, which reports whether Members changed.
func (m *Membership) update(change func(t *table, now time.Time) bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !change(m.table, time.Now()) {
		return false
	}
	m.changed.Notify()
	return true
}

// listen drains serf's events, which must never block: serf holds its locks
// while it sends one. It also drops suspicions that came to nothing.
func (m *Membership) listen() {
	limit := time.NewTimer(time.Hour)
	defer limit.Stop()
	for {
		select {
		case <-m.stop:
			return
		case e := <-m.events:
			m.handleEvent(e)
		case <-m.wake:
		case <-limit.C:
		}
		var next time.Time
		m.update(func(t *table, now time.Time) (changed bool) {
			changed, next = t.expire(now)
			return changed
		})
		if next.IsZero() {
			limit.Reset(time.Hour)
		} else {
			limit.Reset(time.Until(next))
		}
	}
}

// handleEvent takes in one event of serf's.
func (m *Membership) handleEvent(e serf.Event) {
	switch e := e.(type) {
	case serf.MemberEvent:
		for _, sm := range e.Members {
			addr := net.JoinHostPort(sm.Addr.String(), strconv.Itoa(int(sm.Port)))
			m.packets.listenTo(addr)
			m.update(func(t *table, now time.Time) bool {
				switch e.Type {
				case serf.EventMemberJoin, serf.EventMemberUpdate:
					return t.present(sm.Name, addr, sm.Tags, now)
				case serf.EventMemberFailed:
					return t.gone(sm.Name, Failed, now)
				case serf.EventMemberLeave:
					return t.gone(sm.Name, Left, now)
				case serf.EventMemberReap:
					return t.forgotten(sm.Name)
				}
				return false
			})
		}
	case serf.UserEvent:
		m.handleMessage(e.Name, e.Payload)
	}
}
