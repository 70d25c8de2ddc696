package engine

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// A unit that leaves its machine stop-first, by an operator's word, is told to
// stop (Assignment.Leaving), and its machine's word that it has ends the assignment.
//
// An exclusive unit always leaves its machine in one of two ways. A machine that has a
// run is told to stop it (Assignment.Leaving), and its word that it has ends the
// assignment. One that has none can't renew its fence any more: when the last
// renewal, as the store knows it, is so old that the fence has ended and the
// unit was killed, the unit moves.

const (
	// driftOf is the part of a lease by which the clocks of a leader and a machine
	// may drift apart during it, together: NTP slews a clock by a 2000th at most.
	driftOf = 50
	// fenceMargin is how late the init system of a machine may notice the end of its fence.
	fenceMargin = 200 * time.Millisecond
)

// lapseAfter is how long after a renewal was seen in the store the units behind the fence have ended.
func lapseAfter(lease time.Duration) time.Duration {
	return lease + lease/driftOf + units.FenceStop + fenceMargin
}

// lapses knows by when the fence of each machine has ended if it isn't renewed,
// by this machine's clock. It outlives terms, as what was seen before one counts.
type lapses struct {
	mu   sync.Mutex // guards what follows
	seen map[string]cluster.Fence
	of   map[string]lapse // by machine ID
}

type lapse struct {
	fence cluster.Fence // the last renewal
	end   time.Time
}

// observe takes in what a snapshot that was just seen has of fences.
func (l *lapses) observe(snap *cluster.Snapshot, clock func() time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if snap == nil || l.seen != nil && cluster.SameMap(l.seen, snap.Fences) {
		return
	}
	l.seen = snap.Fences
	if l.of == nil {
		l.of = map[string]lapse{}
	}
	for id, f := range snap.Fences {
		was := l.of[id]
		if was.fence.Revision >= f.Revision {
			continue
		}
		end := clock().Add(lapseAfter(f.Lease))
		if was.end.After(end) {
			end = was.end // a daemon that was to restart asked for longer
		}
		l.of[id] = lapse{f, end}
	}
}

// lapse returns the last renewal of a machine's fence, and when its units have
// ended. A machine that never had a fence has had no exclusive unit run.
func (l *lapses) lapse(machine string) lapse {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, known := l.of[machine]; known {
		return e
	}
	return lapse{fence: cluster.Fence{Machine: machine}}
}

// departing is an exclusive unit that is to leave its machine and can't yet.
type departing struct {
	epoch  int64
	since  time.Time
	reason string // why it has no other machine yet; empty where it is to get none
}

// isExclusive reports whether an assignment's unit must never run twice at once.
func isExclusive(a *cluster.Assignment) bool {
	if !strings.Contains(a.Content, "Exclusive") {
		return false
	}
	file, err := units.ParseFile(a.Content)
	return err == nil && file.Exclusive()
}

// holdExclusive replaces the moves by which exclusive units would leave their
// machines before they have ended there. It returns when to look again.
func (t *term) holdExclusive(snap *cluster.Snapshot, moves []cluster.Move, now time.Time) (
	may []cluster.Move, again time.Time) {
	t.lapses.observe(snap, func() time.Time { return now })
	waiting := map[string]departing{}
	for _, m := range moves {
		switch {
		case m.From == nil || m.Forget || !m.StopFirst && !isExclusive(m.From):
			may = append(may, m)
		case m.To != nil && m.To.Machine == m.From.Machine:
			may = append(may, staying(snap, m))
		default:
			if m, goes := t.depart(snap, m, waiting, now, &again); goes {
				may = append(may, m)
			}
		}
	}
	may = append(may, t.stay(snap, moves)...)
	t.departing = waiting
	return may, again
}

// staying is a change on the same machine, which a unit that was to leave doesn't any more.
func staying(snap *cluster.Snapshot, m cluster.Move) cluster.Move {
	if m.From.Leaving {
		to := *m.To
		to.Leaving, to.Epoch = false, snap.Revision
		m.To = &to
	}
	return m
}

// depart returns what can be done now of a move that takes an exclusive unit from its machine.
func (t *term) depart(snap *cluster.Snapshot, m cluster.Move, waiting map[string]departing, now time.Time,
	again *time.Time) (cluster.Move, bool) {
	from := m.From
	k := cluster.UnitOnMachine{Machine: from.Machine, Unit: from.Unit}
	st, reported := snap.Statuses[k]
	if from.Leaving && reported && st.Epoch == from.Epoch && st.Load == "not-found" {
		return m, true
	}
	why := "as a second run would do harm"
	if !m.StopFirst {
		why = "as it is exclusive"
	}
	if _, runs := snap.Runs[from.Machine]; !runs && !m.StopFirst {
		l := t.lapses.lapse(from.Machine)
		if !now.Before(l.end) {
			m.Fenced = &l.fence
			t.waited(m, now)
			return m, true
		}
		*again = sooner(*again, l.end)
		t.wait(m, waiting, now, fmt.Sprintf("waits %s, until %s's copy is surely stopped, as it is exclusive",
			span(l.end.Sub(now)), t.called(from.Machine)))
		return m, false
	}
	if !t.runs(from.Machine) && !m.StopFirst { // its session ends first
		t.wait(m, waiting, now, "waits until "+t.called(from.Machine)+"'s copy is surely stopped, as it is exclusive")
		return m, false
	}
	t.wait(m, waiting, now, "waits until "+t.called(from.Machine)+" has stopped it, "+why)
	if from.Leaving {
		return m, false
	}
	leaving := *from
	leaving.Leaving, leaving.Epoch = true, snap.Revision
	return cluster.Move{Unit: m.Unit, From: from, To: &leaving, Reason: m.Reason, Generation: m.Generation}, true
}

// wait notes that a unit waits, and tells so once.
func (t *term) wait(m cluster.Move, waiting map[string]departing, now time.Time, why string) {
	d, known := t.departing[m.Unit]
	if !known || d.epoch != m.From.Epoch && !m.From.Leaving {
		d = departing{since: now}
		if m.To != nil {
			d.reason = why + "; then it starts on " + t.called(m.To.Machine)
			t.event(cluster.Event{Kind: cluster.EventUnit, Time: now, Unit: m.Unit, Machine: m.From.Machine,
				Text: m.Unit + " " + d.reason})
		}
	}
	d.epoch = m.From.Epoch
	waiting[m.Unit] = d
}

// waited notes how long a unit waited for a fence, for the account of its outage.
func (t *term) waited(m cluster.Move, now time.Time) {
	delete(t.fenceWaits, m.Unit)
	if d, known := t.departing[m.Unit]; known {
		t.fenceWaits[m.Unit] = now.Sub(d.since)
	}
}

// stay returns the moves that keep units where they are which were told to leave
// and are no longer to.
func (t *term) stay(snap *cluster.Snapshot, moves []cluster.Move) (stays []cluster.Move) {
	if t.assigned == nil || !cluster.SameMap(t.assigned, snap.Assignments) {
		t.assigned, t.leaving = snap.Assignments, nil
		for k, a := range snap.Assignments {
			if a.Leaving {
				t.leaving = append(t.leaving, k)
			}
		}
		slices.SortFunc(t.leaving, func(a, b cluster.UnitOnMachine) int { return strings.Compare(a.Unit, b.Unit) })
	}
	for _, k := range t.leaving {
		if t.state.Health[k.Machine].State != cluster.Up ||
			slices.ContainsFunc(moves, func(m cluster.Move) bool { return m.Unit == k.Unit }) {
			continue
		}
		from := snap.Assignments[k]
		to := from
		to.Leaving, to.Epoch, to.Reason = false, snap.Revision, "it stays, as nothing takes it from there any more"
		stays = append(stays, cluster.Move{Unit: k.Unit, From: &from, To: &to, Reason: to.Reason,
			Generation: snap.Units[k.Unit].Generation})
	}
	return stays
}
