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

// timeline keeps events and makes entries of them. What came as it happened
// stays in that order, as clocks may be set; only the past goes by its times.
type timeline struct {
	events []cluster.Event // the past by ID, then the others as they came
	past   int             // how many are of the past
	known  map[string]struct{}
	made   []*Entry
	stale  bool
}

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
func (t *timeline) add(events []cluster.Event, live bool) bool {
	if t.known == nil {
		t.known = map[string]struct{}{}
	}
	var fresh []cluster.Event
	for _, e := range events {
		if _, ok := t.known[e.ID]; !ok {
			t.known[e.ID] = struct{}{}
			fresh = append(fresh, e)
		}
	}
	if len(fresh) == 0 {
		return false
	}
	if live {
		t.events = append(t.events, fresh...)
	} else {
		past := append(t.events[:t.past:t.past], fresh...)
		slices.SortStableFunc(past, func(a, b cluster.Event) int { return cmp.Compare(a.ID, b.ID) })
		t.events, t.past = append(past, t.events[t.past:]...), len(past)
	}
	if extra := len(t.events) - eventsKept; extra > 0 {
		for _, e := range t.events[:extra] {
			delete(t.known, e.ID)
		}
		t.events, t.past = slices.Clone(t.events[extra:]), max(0, t.past-extra)
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
