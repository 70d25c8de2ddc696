package engine

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"fleettop/cluster"
)

const (
	doubtLasts = 2 * time.Second  // a suspicion that lasts for so long is told while it does
	doubtOften = 3                // so many of them are told together
	doubtCalm  = 10 * time.Second // without a doubt, and those before are over
)

// doubts are the doubts about one machine that come and go, which are told in
// one line: most of them are over before anyone could read of them.
type doubts struct {
	began   time.Time // the first
	since   time.Time // the last
	ended   time.Time // the last; zero while it is under way
	count   int
	losses  int // how many of them were of its daemon's session
	longest time.Duration
	told    bool // a line says that it is suspect
	away    bool // a line says that it lost its daemon
}

// doubted takes note of a machine that is suspect, or without its daemon, and was not Failed before.
func (t *term) doubted(id string, was cluster.HealthState, h cluster.Health) {
	d := t.doubts[id]
	if d == nil {
		d = &doubts{began: h.Since}
		t.doubts[id] = d
	}
	if was == cluster.Up || d.count == 0 {
		d.count++
		d.since, d.ended = h.Since, time.Time{}
	}
	if h.State == cluster.DaemonGone {
		if d.losses++; d.losses < doubtOften {
			d.away = true
			t.tellChange(id, h.Since, t.wasMachine(id, was, true), "lost its daemon, its units stay there: "+h.Evidence)
		}
	}
}

// undoubted takes note of a machine that is up after a doubt.
func (t *term) undoubted(id string, h cluster.Health) {
	d := t.doubts[id]
	if d == nil {
		return
	}
	d.longest, d.ended = max(d.longest, h.Since.Sub(d.since)), h.Since
	if d.away {
		d.away = false
		t.tellChange(id, h.Since, t.wasMachine(id, cluster.DaemonGone, true), "came back")
	}
}

// confirmed takes note of a machine that failed, or went down: its suspicion was the beginning of that.
func (t *term) confirmed(id string, evidence string) {
	if d := t.doubts[id]; d != nil && d.ended.IsZero() && !d.told && d.losses == 0 && evidence != "" {
		t.tellSuspect(id, d.since, evidence)
	}
	delete(t.doubts, id)
}

// tellDoubts tells of doubts that last, come often, or are over, and returns when to look again.
func (t *term) tellDoubts(now time.Time) (again time.Time) {
	for _, id := range slices.Sorted(maps.Keys(t.doubts)) {
		d := t.doubts[id]
		due := d.ended.Add(doubtCalm)
		if d.ended.IsZero() {
			due = d.since.Add(doubtLasts)
		}
		switch {
		case !d.told && d.count >= doubtOften:
			d.told = true
			t.tellMachine(id, now, fmt.Sprintf("is suspect again and again, %d times in %s: %s",
				d.count, span(now.Sub(d.began)), t.state.Health[id].Evidence))
		case now.Before(due):
			again = sooner(again, due)
		case !d.ended.IsZero():
			if text := d.summary(); text != "" {
				t.event(cluster.Event{Kind: cluster.EventMachine, Time: now, Machine: id, State: t.machines[id],
					Text: t.called(id) + " " + text, Record: cluster.Record{Since: d.ended,
						Was: &cluster.Was{State: cluster.Suspect, Since: d.since}}})
			}
			delete(t.doubts, id)
		case !d.told && t.state.Health[id].State == cluster.Suspect:
			d.told = true
			t.tellSuspect(id, d.since, t.state.Health[id].Evidence)
		}
	}
	return again
}

// summary is the line about doubts that are over; empty where all was told.
func (d *doubts) summary() string {
	within := ""
	if d.count > 1 {
		within = fmt.Sprintf("%d times in %s, ", d.count, span(d.ended.Sub(d.began)))
	}
	switch {
	case d.told && d.count == 1:
		return "answers again, after " + span(d.longest)
	case d.told:
		return "answers steadily again: it was suspect " + within + "for " + span(d.longest) + " at most"
	case d.count <= d.losses && d.losses < doubtOften:
		return "" // each was told, and its end
	case d.count == 1:
		return "was suspect for " + span(d.longest) + ", and answers"
	}
	return "was in doubt " + within + "for " + span(d.longest) + " at most, and answers"
}

func (t *term) tellMachine(id string, at time.Time, text string) { t.tellChange(id, at, nil, text) }

// tellChange tells of a machine whose health changed; was may be nil.
func (t *term) tellChange(id string, at time.Time, was *cluster.Was, text string) {
	t.event(cluster.Event{Kind: cluster.EventMachine, Time: at, Machine: id, State: t.machines[id],
		Text: t.called(id) + " " + text, Record: cluster.Record{Was: was}})
}

// tellSuspect tells that a machine was suspect from a time on, whatever it is by now.
func (t *term) tellSuspect(id string, at time.Time, evidence string) {
	t.event(cluster.Event{Kind: cluster.EventMachine, Time: at, Machine: id, State: cluster.Suspect,
		Text: t.called(id) + " is suspect: " + evidence, Record: cluster.Record{Was: &cluster.Was{State: cluster.Up}}})
}

// wasMachine is how a machine was before its verdict; nil where that isn't known.
func (t *term) wasMachine(id string, was cluster.HealthState, known bool) *cluster.Was {
	switch before := t.state.Health[id]; {
	case !known:
		return &cluster.Was{Absent: true}
	case was == "":
		return nil
	case before.State == was:
		return &cluster.Was{State: was, Since: before.Since}
	}
	return &cluster.Was{State: was}
}

func span(d time.Duration) string { return fmt.Sprintf("%.1f s", max(0, d).Seconds()) }

// sooner is the earlier of two times, of which the zero one never comes.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
