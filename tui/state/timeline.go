package state

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
)

// eventsKept is how many events the timeline remembers.
const eventsKept = api.EventsMost

// Entry is a line of the timeline, or a failover as one block of them. Its
// head is the last word on it: the summary, once there is one.
type Entry struct {
	cluster.Event
	Block    []cluster.Event // of a failover, oldest first; nil for a single event
	Moved    int             // units of a block that were given to others
	Active   int             // those that run again
	Nowhere  int             // units that found no other place
	Returned int             // those of them that run again
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

// Begins is when the entry happened, or its block began.
func (e *Entry) Begins() time.Time {
	if len(e.Block) > 0 {
		return e.Block[0].Time
	}
	return e.Time
}

// timeline keeps events and makes entries of them.
type timeline struct {
	events []stamped // by at
	known  map[string]struct{}
	made   []*Entry
	stale  bool
}

// stamped is an event with the time it counts as of: its own, unless that can't
// be right. Clocks are set, and what one stamped that was ahead is not to be on
// top for ever.
type stamped struct {
	cluster.Event
	at time.Time
}

// plausible is how far the clock of an event that happens now may be off.
const plausible = time.Minute

func (t *timeline) reset() { *t = timeline{stale: true} }

// split tells apart, of the events that a new connection begins with, those
// that happened since the last one ended.
func (t *timeline) split(events []cluster.Event, heard time.Time) (past, live []cluster.Event) {
	if len(t.events) == 0 || heard.IsZero() {
		return events, nil
	}
	for _, e := range events {
		if e.Time.After(heard.Add(-late)) {
			live = append(live, e)
		} else {
			past = append(past, e)
		}
	}
	return past, live
}

// add takes events in, and reports whether any was new; live ones happened just now.
func (t *timeline) add(events []cluster.Event, live bool, now time.Time) bool {
	if t.known == nil {
		t.known = map[string]struct{}{}
	}
	sorted, was := true, len(t.events)
	for _, e := range events {
		if _, ok := t.known[e.ID]; ok {
			continue
		}
		t.known[e.ID] = struct{}{}
		at := e.Time
		if at.After(now.Add(plausible)) || live && at.Before(now.Add(-plausible)) {
			at = now.Round(0)
		}
		if n := len(t.events); n > 0 && at.Before(t.events[n-1].at) {
			sorted = false
		}
		t.events = append(t.events, stamped{e, at})
	}
	if len(t.events) == was {
		return false
	}
	if !sorted {
		slices.SortStableFunc(t.events, func(a, b stamped) int {
			return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.ID,
				b.ID))
		})
	}
	if extra := len(t.events) - eventsKept; extra > 0 {
		for _, e := range t.events[:extra] {
			delete(t.known, e.ID)
		}
		t.events = slices.Clone(t.events[extra:])
	}
	t.stale = true
	return true
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
	nowhere := map[string]*Entry{} // by unit without a place: the block of its failover
	for _, had := range t.events {
		e := had.Event
		dead := deadMachine(e)
		if b := nowhere[e.Unit]; b != nil && e.Kind == cluster.EventActive {
			b.Block = append(b.Block, e) // and told on its own, as the block may be old
			b.Returned++
			delete(nowhere, e.Unit)
			out = append(out, &Entry{Event: e})
			continue
		}
		if b := open[dead]; b != nil && dead != "" && e.Time.Sub(b.Block[0].Time) < blockReach {
			b.join(e)
			if e.Unplaced {
				nowhere[e.Unit] = b
			}
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
				if e.Unplaced {
					nowhere[e.Unit] = b
				}
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
		if ev.Unplaced {
			e.Nowhere++
		} else {
			e.Moved++
		}
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
