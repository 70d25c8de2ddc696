package memstore

import (
	"fmt"
	"sync"

	"fleettop/cluster"
	"fleettop/cluster/internal/feed"
	"fleettop/units/broadcast"
)

// mostEvents is how many events are kept.
const mostEvents = 10_000

// Cluster is the state several Stores share. Call New.
type Cluster struct {
	clock Clock

	mu       sync.Mutex // guards what follows, and the fields of its stores and sessions
	snap     *cluster.Snapshot
	events   []cluster.Event
	eventSeq int
	recorded []recorded                   // the same events in the order of their recording
	told     map[string]int64             // by receiver
	runs     map[string]*session          // by machine ID: whose lease holds the run and statuses
	left     map[string]map[string]string // overrides of machines whose record was deleted, by ID
	leader   *session                     // whose lease holds the leadership; nil for nobody
	watches  map[*watch]struct{}
	changed  broadcast.Signal // of what callers may wait for
}

// watch is one reader of a Store's changes.
type watch struct {
	store *Store
	scope cluster.Scope
	feed  *feed.Feed
}

// New returns an empty cluster that lives by the time of day.
func New() *Cluster { return NewWithClock(wallClock{}) }

// NewWithClock returns an empty cluster that lives by a clock.
func NewWithClock(clock Clock) *Cluster {
	return &Cluster{
		clock:   clock,
		snap:    cluster.NewSnapshot(1),
		runs:    map[string]*session{},
		left:    map[string]map[string]string{},
		watches: map[*watch]struct{}{},
		told:    map[string]int64{},
	}
}

// recorded is an event, and the revision at which it was recorded.
type recorded struct {
	event    cluster.Event
	revision int64
}

// Open returns one more client of the cluster.
func (c *Cluster) Open() *Store { return &Store{cluster: c, reachable: true} }

// Snapshot returns the whole state as it is, whoever is cut off.
func (c *Cluster) Snapshot() *cluster.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.snap
}

// commit writes a change as the next revision and tells the watches; c.mu is held.
func (c *Cluster) commit(change cluster.Change) int64 {
	change.Revision = c.snap.Revision + 1
	c.snap = c.snap.With(change)
	for w := range c.watches {
		seen := scoped(change, w.scope)
		if seen.Size() > 0 && !w.feed.Offer(seen) {
			delete(c.watches, w)
		}
	}
	c.changed.Notify()
	return change.Revision
}

// breakWatches ends the watches of a store; c.mu is held.
func (c *Cluster) breakWatches(s *Store) {
	for w := range c.watches {
		if w.store == s {
			delete(c.watches, w)
			w.feed.Close()
		}
	}
}

// endLease removes what a session's lease holds; c.mu is held.
func (c *Cluster) endLease(s *session) {
	if s.gone {
		return
	}
	s.gone = true
	var change cluster.Change
	if c.runs[s.run.Machine] == s {
		delete(c.runs, s.run.Machine)
		change.Runs = map[string]*cluster.Run{s.run.Machine: nil}
		change.Statuses = map[cluster.UnitOnMachine]*cluster.Status{}
		for k := range c.snap.Statuses {
			if k.Machine == s.run.Machine {
				change.Statuses[k] = nil
			}
		}
	}
	if c.leader == s {
		c.leader = nil
		change.Leader = &cluster.Leader{}
	}
	if change.Size() > 0 {
		c.commit(change)
	}
	if s.store.reachable {
		s.finish()
	}
}

// appendEvents puts events on the timeline; c.mu is held.
func (c *Cluster) appendEvents(events []cluster.Event) {
	added := make([]cluster.Event, 0, len(events))
	for _, e := range events {
		if e.Time.IsZero() {
			e.Time = c.clock.Now()
		}
		c.eventSeq++
		e.ID = fmt.Sprintf("%020d-%08d", e.Time.UnixNano(), c.eventSeq)
		if e.Outage != nil {
			o := *e.Outage
			e.Outage = &o
		}
		added = append(added, e)
	}
	c.events = append(c.events, added...)
	sortEvents(c.events)
	if extra := len(c.events) - mostEvents; extra > 0 {
		c.events = append([]cluster.Event(nil), c.events[extra:]...)
	}
	c.commit(cluster.Change{Events: added})
	for _, e := range added {
		c.recorded = append(c.recorded, recorded{e, c.snap.Revision})
	}
	c.recorded = c.recorded[max(0, len(c.recorded)-mostEvents):]
}
