package state

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
)

// eventsKept is how many events the timeline remembers.
const eventsKept = 5000

// Entry is a line of the timeline, or a failover as one block of them. Its
// head is the last word on it: the summary, once there is one.
type Entry struct {
	cluster.Event
	Block    []cluster.Event // of a failover, oldest first; nil for a single event
	Moved    int             // units of a block that were given to others
	Active   int             // those that run again
	Complete bool            // the cluster has summed it up

	hay string
}

// ID of an entry stays the same while a block grows.
func (e *Entry) Key() string {
	if len(e.Block) > 0 {
		return e.Block[0].ID
	}
	return e.Event.ID
}

// timeline keeps events and makes entries of them.
type timeline struct {
	events []cluster.Event // by ID
	made   []*Entry
	stale  bool
}

func (t *timeline) reset() { t.events, t.stale = nil, true }

// add merges events in, and tells whether any was new.
func (t *timeline) add(events []cluster.Event) bool {
	if len(events) == 0 {
		return false
	}
	known := len(t.events)
	sorted := true
	for _, e := range events {
		if n := len(t.events); n > 0 && e.ID <= t.events[n-1].ID {
			sorted = false
		}
		t.events = append(t.events, e)
	}
	if !sorted {
		t.events = slices.Clone(t.events)
		slices.SortStableFunc(t.events, func(a, b cluster.Event) int { return cmp.Compare(a.ID, b.ID) })
		t.events = slices.CompactFunc(t.events, func(a, b cluster.Event) bool { return a.ID == b.ID })
	}
	grown := len(t.events) > known
	if extra := len(t.events) - eventsKept; extra > 0 {
		t.events = slices.Clone(t.events[extra:])
	}
	t.stale = t.stale || grown
	return grown
}

// blockReach is how long after a machine's failure a move still counts to it.
const blockReach = time.Minute

// doubtReach is how long before a machine's units move a suspicion still
// counts to its failover.
const doubtReach = 20 * time.Second

// entries are the events with each failover as a block.
func (t *timeline) entries() []*Entry {
	if !t.stale {
		return t.made
	}
	t.stale = false
	out := make([]*Entry, 0, len(t.events))
	failed := map[string]int{}  // index in out of a machine's last line that may begin a block
	doubted := map[string]int{} // the same, of its last suspicion
	open := map[string]*Entry{}
	for _, e := range t.events {
		dead := deadMachine(e)
		if b := open[dead]; b != nil && dead != "" && e.Time.Sub(b.Block[0].Time) < blockReach {
			b.join(e)
			if e.Kind == cluster.EventFailover {
				delete(open, dead)
			}
			continue
		}
		if dead != "" {
			if i, ok := failed[dead]; ok && e.Time.Sub(out[i].Time) < blockReach {
				b := &Entry{Event: out[i].Event}
				if d, ok := doubted[dead]; ok && d < i && len(out[d].Block) == 0 && e.Time.Sub(out[d].Time) < doubtReach {
					b.Block = append(b.Block, out[d].Event)
					out[d] = nil
					delete(doubted, dead)
				}
				b.Block = append(b.Block, out[i].Event)
				b.join(e)
				out[i] = b
				if !b.Complete {
					open[dead] = b
				}
				delete(failed, dead)
				continue
			}
		}
		if e.Kind == cluster.EventMachine {
			delete(open, e.Machine)
			failed[e.Machine] = len(out)
			if strings.Contains(e.Text, "suspect") {
				doubted[e.Machine] = len(out)
			}
		}
		out = append(out, &Entry{Event: e})
	}
	out = slices.DeleteFunc(out, func(e *Entry) bool { return e == nil })
	for _, e := range out {
		e.hay = e.haystack()
	}
	t.made = out
	return out
}

// deadMachine is the machine whose failover an event belongs to, if any.
func deadMachine(e cluster.Event) string {
	switch e.Kind {
	case cluster.EventMoved, cluster.EventActive:
		return e.From
	case cluster.EventFailover:
		return e.Machine
	}
	return ""
}

func (e *Entry) join(ev cluster.Event) {
	e.Block = append(e.Block, ev)
	switch ev.Kind {
	case cluster.EventMoved:
		e.Moved++
	case cluster.EventActive:
		e.Active++
	case cluster.EventFailover:
		e.Complete = true
		e.Text, e.Outage, e.Kind = ev.Text, ev.Outage, ev.Kind
	}
}

func (e *Entry) haystack() string {
	var b strings.Builder
	b.WriteString(strings.ToLower(e.Text + " " + string(e.Kind)))
	for _, ev := range e.Block {
		b.WriteByte(' ')
		b.WriteString(strings.ToLower(ev.Text))
	}
	return b.String()
}

// event is the i-th event of an entry.
func (e *Entry) event(i int) cluster.Event {
	if len(e.Block) > 0 {
		return e.Block[i]
	}
	return e.Event
}
