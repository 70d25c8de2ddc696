package stitch

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/cluster"
	"fleettop/journal"
	"fleettop/units"
)

// world is a cluster on paper whose logs are stitched.
type world struct {
	t        *rapid.T
	s        *Stitcher
	now      time.Time
	snap     *cluster.Snapshot
	verdicts map[string]cluster.Health
	logs     map[string][]journal.Entry // by machine
	readers  map[*Reader]*reading
	events   int

	out     []journal.Entry
	moves   map[string]int  // dividers to come, by text
	pending []cluster.Event // of moves, still to be heard of
	missed  map[string]bool // lines that were lost before they could be read, by name
	gaps    int             // lines that were, each time
	arrived map[string]time.Time
	shown   map[string]time.Time
	apart   map[string]bool                     // lines that waited, or are of the past: their order is another
	left    map[cluster.UnitOnMachine]time.Time // when units went
}

// reading is what a reader does.
type reading struct {
	r       *Reader
	at, end int // of the log: what comes next, and what is the past
	told    bool
}

var names = []string{"a.service", "b.service"}

const machines = 4

func machine(i int) string { return fmt.Sprint("m", i) }

// line names a line by its machine and number.
func line(machine, cursor string) string { return machine + "/" + cursor }

func newWorld(t *rapid.T) *world {
	w := &world{t: t, now: epoch, snap: cluster.NewSnapshot(1), verdicts: map[string]cluster.Health{},
		logs: map[string][]journal.Entry{}, readers: map[*Reader]*reading{}, moves: map[string]int{},
		missed: map[string]bool{}, arrived: map[string]time.Time{}, shown: map[string]time.Time{},
		apart: map[string]bool{}, left: map[cluster.UnitOnMachine]time.Time{}}
	for i := range machines {
		w.snap.Machines[machine(i)] = cluster.Machine{ID: machine(i), Name: machine(i)}
		w.verdicts[machine(i)] = cluster.Health{State: rapid.SampledFrom([]cluster.HealthState{cluster.Up, cluster.Up,
			cluster.Failed}).Draw(t, "state")}
	}
	for _, unit := range names {
		m := machine(rapid.IntRange(0, machines-1).Draw(t, "on"))
		w.snap.Assignments[cluster.UnitOnMachine{Machine: m, Unit: unit}] = cluster.Assignment{Desired: units.Launched}
		w.snap.Units[unit] = cluster.Unit{Name: unit}
	}
	for range rapid.IntRange(0, 20).Draw(t, "past") {
		w.log()
	}
	w.now = w.now.Add(time.Second)
	w.s = New(Request{Names: []string{"*.service"}, Self: machine(0), Follow: true, Positions: true, Began: w.now},
		w.snap, maps.Clone(w.verdicts), nil)
	w.turn()
	return w
}

// turn does what a session does after each fact.
func (w *world) turn() {
	start, stop := w.s.Plan(w.now)
	for _, r := range start {
		l := w.logs[r.Machine]
		w.readers[r] = &reading{r: r, end: len(l)}
		if r.After != "" {
			w.readers[r].at, _ = strconv.Atoi(string(r.After))
		}
	}
	for _, r := range stop {
		delete(w.readers, r)
	}
	for _, list := range w.s.moves.waiting {
		for _, it := range list {
			w.apart[line(it.Machine, string(it.Cursor))] = true
		}
	}
	for {
		list, _ := w.s.Next(w.now)
		if len(list) == 0 {
			return
		}
		w.out = append(w.out, list...)
		for _, e := range list {
			if e.Kind == "" {
				w.shown[line(e.Machine, string(e.Cursor))] = w.now
			}
		}
	}
}

// where a unit is.
func (w *world) where(unit string) string {
	for k := range w.snap.Assignments {
		if k.Unit == unit {
			return k.Machine
		}
	}
	w.t.Fatal("the unit is nowhere")
	return ""
}

// log writes a line on a unit's machine, or late on another.
func (w *world) log() {
	unit := rapid.SampledFrom(names).Draw(w.t, "unit")
	m := w.where(unit)
	w.now = w.now.Add(time.Millisecond)
	if other := machine(rapid.IntRange(0, machines-1).Draw(w.t, "late")); w.now.Sub(w.left[cluster.UnitOnMachine{
		Machine: other, Unit: unit}]) < linger {
		m = other
	}
	w.logs[m] = append(w.logs[m], journal.Entry{Time: w.now, Machine: m, Unit: unit, Priority: journal.Info,
		Message: "x", Cursor: journal.Cursor(strconv.Itoa(len(w.logs[m]) + 1))})
}

func (w *world) reader() *reading {
	list := slices.SortedFunc(
		maps.Values(w.readers),
		func(a, b *reading) int { return strings.Compare(a.r.Machine, b.r.Machine) },
	)
	list = slices.DeleteFunc(list, func(r *reading) bool { return !w.verdicts[r.r.Machine].State.Runs() })
	if len(list) == 0 {
		w.t.Skip("nothing is read")
	}
	return rapid.SampledFrom(list).Draw(w.t, "reader")
}

// read has a reader read so many lines at most; some of them are lost on the way.
func (w *world) read(r *reading, most int, lost bool) {
	l := w.logs[r.r.Machine]
	end := len(l)
	if !r.told {
		end = r.end
	}
	var batch []journal.Entry
	gone := 0
	for ; r.at < end && most > 0; r.at++ {
		e := l[r.at]
		if r.r.After == "" && !r.r.Since.IsZero() && e.Time.Before(r.r.Since) || !r.r.Until.IsZero() &&
			e.Time.After(r.r.Until) || !slices.Contains(r.r.Units, e.Unit) {
			continue
		}
		most--
		name := line(e.Machine, string(e.Cursor))
		if lost && r.told {
			w.missed[name] = true
			gone++
			continue
		}
		if !r.r.live || !w.s.backfill.open && !r.told {
			w.apart[name] = true
		}
		w.arrived[name] = w.now
		batch = append(batch, e)
	}
	ended := false
	if !r.told && r.at == end {
		r.told, ended = true, !r.r.Follow
		batch = append(batch, journal.Entry{Kind: journal.KindPosition, Time: w.now, Machine: r.r.Machine,
			Cursor: journal.Cursor(strconv.Itoa(end))})
	}
	if w.gaps += gone; gone > 0 {
		batch = append(batch, journal.Entry{Kind: journal.KindMissed, Time: w.now, Machine: r.r.Machine, Missed: gone})
	}
	if len(batch) > 0 {
		w.s.Add(r.r, batch, w.now)
	}
	if ended {
		w.s.End(r.r, nil, w.now)
	}
}

// move gives a unit to another machine that runs, and returns the event of it;
// none if there is no such machine.
func (w *world) move() []cluster.Event {
	unit := rapid.SampledFrom(names).Draw(w.t, "unit")
	from := w.where(unit)
	to := machine(rapid.IntRange(0, machines-1).Draw(w.t, "to"))
	if to == from || !w.verdicts[to].State.Runs() {
		return nil
	}
	w.left[cluster.UnitOnMachine{Machine: from, Unit: unit}] = w.now
	next := w.snap.With(cluster.Change{Revision: w.snap.Revision + 1,
		Assignments: map[cluster.UnitOnMachine]*cluster.Assignment{{Machine: from, Unit: unit}: nil,
			{Machine: to, Unit: unit}: {Desired: units.Launched, Epoch: w.snap.Revision + 1}}})
	verdict := w.verdicts[from]
	next.Verdicts = maps.Clone(next.Verdicts)
	next.Verdicts[from] = verdict
	w.snap = next
	w.moves[fmt.Sprintf("%s moved %s → %s", unit, from, to)]++
	w.events++
	e := cluster.Event{
		ID:   fmt.Sprintf("%09d", w.events),
		Time: w.now,
		Kind: cluster.EventMoved,
		Unit: unit,
		From: from,
		To:   to,
	}
	w.pending = append(w.pending, e)
	return []cluster.Event{e}
}

// TestStitcher: whatever units, machines and readers do, no line comes twice,
// none that is still in a log is lost, each move has one divider, and each gap is told.
func TestStitcher(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { w.turn() },
			"log": func(t *rapid.T) {
				w.t = t
				w.log()
			},
			"read": func(t *rapid.T) {
				w.t = t
				w.read(w.reader(), rapid.IntRange(1, 10).Draw(t, "lines"), false)
			},
			"lose": func(t *rapid.T) {
				w.t = t
				w.read(w.reader(), rapid.IntRange(1, 3).Draw(t, "lines"), true)
			},
			"fail": func(t *rapid.T) {
				w.t = t
				r := w.reader()
				if r.r.Follow && r.told {
					t.Skip("it goes on by itself")
				}
				w.s.End(r.r, errors.New("refused"), w.now)
			},
			"move": func(t *rapid.T) {
				w.t = t
				w.move()
				w.s.Cluster(w.snap, nil, w.now)
			},
			"moves": func(t *rapid.T) { // while there was no subscription
				w.t = t
				var list []cluster.Event
				for range rapid.IntRange(1, 3).Draw(t, "moves") {
					list = append(list, w.move()...)
				}
				w.pending = nil
				w.s.Cluster(w.snap, list, w.now)
			},
			"event": func(*rapid.T) {
				w.s.Cluster(w.snap, w.pending, w.now)
				w.pending = nil
			},
			"active": func(t *rapid.T) {
				unit := rapid.SampledFrom(names).Draw(t, "unit")
				w.s.Cluster(w.snap, []cluster.Event{{Time: w.now, Kind: cluster.EventActive, Unit: unit,
					To: w.where(unit), Outage: &cluster.Outage{Start: time.Second}}}, w.now)
			},
			"verdict": func(t *rapid.T) {
				id := machine(rapid.IntRange(1, machines-1).Draw(t, "machine"))
				w.verdicts[id] = cluster.Health{
					State: rapid.SampledFrom([]cluster.HealthState{cluster.Up, cluster.Failed,
						cluster.DaemonGone}).Draw(t, "state"),
				}
				w.s.Health(maps.Clone(w.verdicts))
			},
			"time": func(t *rapid.T) {
				w.now = w.now.Add(rapid.SampledFrom([]time.Duration{time.Millisecond, window, time.Second,
					6 * time.Second}).Draw(t, "passes"))
			},
		})
		w.settle()
		w.check()
	})
}

// settle lets all machines run, and all be read, until nothing more comes.
func (w *world) settle() {
	for id := range w.verdicts {
		w.verdicts[id] = cluster.Health{State: cluster.Up}
	}
	w.s.Health(maps.Clone(w.verdicts))
	for range 30 {
		w.now = w.now.Add(time.Second)
		w.turn()
		for _, r := range slices.Collect(maps.Values(w.readers)) {
			w.read(r, 1000, false)
		}
		w.turn()
	}
}

func (w *world) check() {
	w.t.Helper()
	last, gaps := map[string]int{}, 0
	for i, e := range w.out {
		switch e.Kind {
		case journal.KindMissed:
			gaps += e.Missed
		case journal.KindDivider:
			if text, _, _ := strings.Cut(e.Text, ","); strings.Contains(text, " moved ") {
				w.moves[text]--
			}
		case journal.KindPosition, "":
			n, _ := strconv.Atoi(string(e.Cursor))
			if e.Kind == "" && n <= last[e.Machine] {
				w.t.Fatalf("line %d of %s comes after %d", n, e.Machine, last[e.Machine])
			}
			last[e.Machine] = max(n, last[e.Machine])
			if e.Kind == "" {
				w.inOrder(i)
			}
		}
	}
	for m, l := range w.logs {
		for _, e := range l {
			name := line(m, string(e.Cursor))
			if _, told := w.shown[name]; !told && !w.missed[name] {
				w.t.Errorf("line %s was lost", name)
			}
		}
	}
	if gaps != w.gaps {
		w.t.Errorf("%d lines are said to be missed, and %d were", gaps, w.gaps)
	}
	for text, n := range w.moves {
		if n != 0 {
			w.t.Errorf("%q has %d dividers too few", text, n)
		}
	}
}

// inOrder fails where the line before was shown although an earlier one of
// another machine was there.
func (w *world) inOrder(i int) {
	w.t.Helper()
	if i == 0 || w.out[i-1].Kind != "" {
		return
	}
	a, b := w.out[i-1], w.out[i]
	first, second := line(a.Machine, string(a.Cursor)), line(b.Machine, string(b.Cursor))
	if b.Time.Before(a.Time) && !w.apart[first] && !w.apart[second] && w.arrived[second].Before(w.shown[first]) {
		w.t.Errorf("%s of %v comes before %s of %v", first, a.Time, second, b.Time)
	}
}
