package stitch

import (
	"fmt"
	"time"

	"fleettop/cluster"
	"fleettop/journal"
	"fleettop/units"
)

const (
	// outageWithin is how long the first line of a unit on its new machine waits
	// for the outage to be known, so that the divider before it can tell it.
	outageWithin = 2 * time.Second
	// silentWithin is how long a divider waits for the outage where the unit logs nothing.
	silentWithin = 10 * time.Second
)

// moves are the moves of units: those whose divider waits for the outage, and
// the newest one of each unit that has a divider or waits for it.
type moves struct {
	pending map[string]pendingMove // by unit
	newest  map[string]arrival     // by unit
	waiting map[string][]item      // by machine: from the first line of a pending move on, all it tells
}

type pendingMove struct {
	from, to string
	seen     time.Time
}

type arrival struct {
	machine string
	untimed bool // its divider went without the outage
}

func newMoves() moves {
	return moves{pending: map[string]pendingMove{}, newest: map[string]arrival{}, waiting: map[string][]item{}}
}

// follow finds the moves between two states of the cluster.
func (s *Stitcher) follow(before *cluster.Snapshot, events []cluster.Event, now time.Time) {
	at, to := map[string]string{}, map[string]string{} // where units were and are; the same where one left and came back
	if !cluster.SameMap(before.Assignments, s.snap.Assignments) {
		for k, a := range s.snap.Assignments {
			if was, had := before.Assignments[k]; (!had || was.Epoch != a.Epoch) && selected(s.Names, k.Unit) {
				to[k.Unit] = k.Machine
			}
		}
		for k, was := range before.Assignments {
			if a, has := s.snap.Assignments[k]; (!has || was.Epoch != a.Epoch) && to[k.Unit] != "" {
				at[k.Unit] = k.Machine
			}
		}
		for unit := range to {
			if at[unit] == "" { // it was on no machine
				delete(s.moves.newest, unit)
			}
		}
	}
	for _, e := range events { // moves in between, and those the snapshot had before the timeline
		_, there := s.snap.Assignments[cluster.UnitOnMachine{Machine: e.To, Unit: e.Unit}]
		switch {
		case e.Kind != cluster.EventMoved || e.From == "" || e.To == "" || !selected(s.Names, e.Unit):
		case at[e.Unit] == e.From, at[e.Unit] == "" && there && s.moves.newest[e.Unit].machine != e.To:
			s.moved(e.Unit, e.From, e.To, now)
			if at[e.Unit] != "" {
				at[e.Unit] = e.To
			}
		}
	}
	for _, unit := range sortedKeys(at) {
		if at[unit] != to[unit] {
			s.moved(unit, at[unit], to[unit], now)
		}
	}
	for _, e := range events {
		if e.Kind != cluster.EventActive || e.Outage == nil {
			continue
		}
		if s.moves.pending[e.Unit].to == e.To {
			s.divide(e.Unit, e.Outage, e.Time.Add(-e.Outage.Start))
		} else if last := s.moves.newest[e.Unit]; last.untimed && last.machine == e.To {
			s.moves.newest[e.Unit] = arrival{machine: e.To}
			s.note(fmt.Sprintf("%sis active on %s, outage %s", s.prefix(e.Unit), s.snap.Label(e.To), outage(*e.Outage)), now)
		}
	}
}

// moved takes in that a unit was taken from one machine and given to another. Its
// divider waits for the outage where there is one to come.
func (s *Stitcher) moved(unit, from, to string, now time.Time) {
	if _, waits := s.moves.pending[unit]; waits { // it moves on before its outage is known
		s.divide(unit, nil, now)
	}
	s.had[from], s.had[to] = now, now
	verdict, judged := s.snap.Verdicts[from] // written with the move
	s.moves.pending[unit] = pendingMove{from: from, to: to, seen: now}
	s.moves.newest[unit] = arrival{machine: to}
	if !judged || verdict.State == cluster.Up ||
		s.snap.Assignments[cluster.UnitOnMachine{Machine: to, Unit: unit}].Desired != units.Launched {
		s.divide(unit, nil, now)
	}
}

// divide puts the divider of a pending move, and lets go what waits for it.
func (s *Stitcher) divide(unit string, o *cluster.Outage, at time.Time) {
	m := s.moves.pending[unit]
	delete(s.moves.pending, unit)
	s.moves.newest[unit] = arrival{machine: m.to, untimed: o == nil}
	s.emit(item{Entry: s.divider(unit, m.from, m.to, o, at)})
	list := s.moves.waiting[m.to]
	for len(list) > 0 && !s.first(list[0]) {
		s.emit(list[0])
		list = list[1:]
	}
	if s.moves.waiting[m.to] = list; len(list) == 0 {
		delete(s.moves.waiting, m.to)
	}
}

// first reports whether a line is one of a unit whose move to its machine has no divider yet.
func (s *Stitcher) first(it item) bool {
	m, pending := s.moves.pending[it.Unit]
	return pending && it.Kind == "" && it.from.Machine == m.to
}

// wait keeps a line that has to wait for a divider, or is of the same machine as
// one that does: cursors must come in the machine's order.
func (s *Stitcher) wait(it item, now time.Time) bool {
	list := s.moves.waiting[it.from.Machine]
	if len(list) == 0 && !s.first(it) {
		return false
	}
	it.passed = now
	s.moves.waiting[it.from.Machine] = append(list, it)
	return true
}

// expire puts the dividers whose outage was waited for long enough, and returns
// how long the next has left.
func (s *Stitcher) expire(now time.Time) (left time.Duration) {
	for _, machine := range sortedKeys(s.moves.waiting) {
		for {
			list := s.moves.waiting[machine]
			if len(list) == 0 {
				break
			}
			wait := list[0].passed.Add(outageWithin).Sub(now)
			if wait > 0 && s.Room(list[0].from) {
				left = sooner(left, wait)
				break
			}
			s.divide(list[0].Unit, nil, list[0].passed)
		}
	}
	for _, unit := range sortedKeys(s.moves.pending) {
		m := s.moves.pending[unit]
		if wait := m.seen.Add(silentWithin).Sub(now); wait > 0 {
			left = sooner(left, wait)
		} else {
			s.divide(unit, nil, m.seen)
		}
	}
	return left
}

// addHistory adds the dividers of past moves to the merger. Moves that are newer
// than the snapshot come as its changes.
func (s *Stitcher) addHistory(events []cluster.Event) {
	// A move with its outage says more than the move alone.
	type move struct{ unit, from, to string }
	timed := map[move]time.Time{}
	for _, e := range events {
		if e.Kind == cluster.EventActive && e.Outage != nil {
			timed[move{e.Unit, e.From, e.To}] = e.Time
		}
	}
	const key = "" // no machine's ID
	s.merger.Open(key)
	newer := map[string]bool{} // units that moved since the snapshot
	for i, e := range events {
		if !selected(s.Names, e.Unit) || e.From == "" || e.To == "" || !s.Until.IsZero() && e.Time.After(s.Until) {
			continue
		}
		if newer[e.Unit] = newer[e.Unit] || s.Follow && s.newer(events[i:]); newer[e.Unit] {
			continue
		}
		at := e.Time
		switch {
		case e.Kind == cluster.EventActive && e.Outage != nil:
			at = at.Add(-e.Outage.Start)
		case e.Kind != cluster.EventMoved:
			continue
		default:
			if t, ok := timed[move{e.Unit, e.From, e.To}]; ok && t.After(e.Time) && t.Sub(e.Time) < time.Minute {
				continue
			}
			e.Outage = nil
		}
		s.backfill.queued++
		s.moves.newest[e.Unit] = arrival{machine: e.To, untimed: e.Outage == nil}
		s.merger.Add(key, item{Entry: s.divider(e.Unit, e.From, e.To, e.Outage, at), past: true}, at, at)
	}
	s.merger.End(key)
}

// newer reports whether the first of these events is a move that the snapshot
// doesn't have: its unit is where it came from, and no later move leads there.
func (s *Stitcher) newer(events []cluster.Event) bool {
	e := events[0]
	if _, still := s.snap.Assignments[cluster.UnitOnMachine{Machine: e.From, Unit: e.Unit}]; !still {
		return false
	}
	for _, later := range events {
		if later.Unit == e.Unit && later.To == e.From {
			return false
		}
	}
	return true
}

// divider is the line between two machines.
func (s *Stitcher) divider(unit, from, to string, o *cluster.Outage, at time.Time) journal.Entry {
	text := s.prefix(unit) + fmt.Sprintf("moved %s → %s", s.snap.Label(from), s.snap.Label(to))
	if from == to {
		text = s.prefix(unit) + "again on " + s.snap.Label(to)
	}
	if o != nil {
		text += ", outage " + outage(*o)
	}
	return journal.Entry{Kind: journal.KindDivider, Time: at, Machine: to, Unit: unit, Text: text}
}

// prefix names the unit where there are several.
func (s *Stitcher) prefix(unit string) string {
	if len(s.Names) == 1 && !IsGlob(s.Names[0]) {
		return ""
	}
	return unit + " "
}

func outage(o cluster.Outage) string { return fmt.Sprintf("%.2fs", o.Total().Seconds()) }
