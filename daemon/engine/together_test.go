package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/daemon/health"
	"fleettop/units"
)

// board is a term over a snapshot that is changed by hand; what the term
// decides is carried out at once.
type board struct {
	t     *testing.T
	term  *term
	snap  *cluster.Snapshot
	state health.State
	now   time.Time
	moves []cluster.Move
	look  look
}

func newBoard(t *testing.T, machines, unitsWanted int) *board {
	b := &board{t: t, term: newTerm(cluster.Leader{Term: 1}, schedule.New()), snap: cluster.NewSnapshot(1), now: noon,
		state: health.State{Health: map[string]cluster.Health{}}}
	for k := range machines {
		id := fmt.Sprintf("n%d", k+1)
		b.set(id, cluster.Schedulable)
		b.state.Health[id] = cluster.Health{State: cluster.Up, Since: noon.Add(-time.Hour)}
	}
	for k := range unitsWanted {
		name := fmt.Sprintf("u%02d.service", k)
		b.snap = b.snap.With(cluster.Change{Units: map[string]*cluster.Unit{name: {Name: name,
			Content: "[Service]\nExecStart=/bin/true\n",
			Hash:    "h", Desired: units.Launched, Generation: 1}}})
	}
	return b
}

func (b *board) set(id string, s cluster.Schedulability) {
	m := &cluster.Machine{ID: id, Name: id}
	if m.SetSchedule(s, b.now); s == cluster.Drained {
		m.SetDrained(100, true, b.now)
	}
	b.snap = b.snap.With(cluster.Change{Machines: map[string]*cluster.Machine{id: m}})
}

func (b *board) step() {
	b.look = b.term.look(b.snap, b.state, b.now)
	c := cluster.Change{Revision: b.snap.Revision + 1, Assignments: map[cluster.UnitOnMachine]*cluster.Assignment{}}
	for _, m := range b.look.moves {
		if m.From != nil {
			c.Assignments[cluster.UnitOnMachine{Machine: m.From.Machine, Unit: m.Unit}] = nil
		}
		if m.To != nil {
			c.Assignments[cluster.UnitOnMachine{Machine: m.To.Machine, Unit: m.Unit}] = m.To
		}
	}
	b.moves = append(b.moves, b.look.moves...)
	b.snap = b.snap.With(c)
}

// pass lets time pass, in looks of every 20 ms, as while other things change.
func (b *board) pass(d time.Duration) {
	for end := b.now.Add(d); b.now.Before(end); b.now = b.now.Add(20 * time.Millisecond) {
		b.step()
	}
}

// loads are the units on each machine, as "n1:3 n2:4".
func (b *board) loads() string {
	var parts []string
	for k := range len(b.snap.Machines) {
		id, n := fmt.Sprintf("n%d", k+1), 0
		for key := range b.snap.Assignments {
			if key.Machine == id {
				n++
			}
		}
		parts = append(parts, fmt.Sprintf("%s:%d", id, n))
	}
	return strings.Join(parts, " ")
}

func (b *board) want(loads string) {
	b.t.Helper()
	if got := b.loads(); got != loads {
		b.t.Errorf("the machines have %s units, want %s", got, loads)
	}
}

// TestMachinesGivenBackTogether: five machines are drained one after the other
// and given back one after the other, as a verb on all of them does it.
func TestMachinesGivenBackTogether(t *testing.T) {
	b := newBoard(t, 5, 25)
	b.pass(time.Second)
	b.want("n1:5 n2:5 n3:5 n4:5 n5:5")
	b.moves = nil
	for k := range 5 {
		b.set(fmt.Sprintf("n%d", k+1), cluster.Drained)
		b.pass(60 * time.Millisecond)
	}
	b.pass(time.Second)
	b.want("n1:0 n2:0 n3:0 n4:0 n5:0")
	if len(b.moves) != 25 {
		t.Errorf("%d moves to take 25 units from machines that are drained together", len(b.moves))
	}
	for k := range 5 {
		b.set(fmt.Sprintf("n%d", k+1), cluster.Schedulable)
		b.pass(60 * time.Millisecond)
	}
	if len(b.look.moves) == 0 && b.look.again.IsZero() {
		t.Error("it doesn't look again by itself")
	}
	b.pass(time.Second)
	b.want("n1:5 n2:5 n3:5 n4:5 n5:5")
}

// TestTwoDrainedTogether: what is taken from the first isn't put on the second.
func TestTwoDrainedTogether(t *testing.T) {
	b := newBoard(t, 4, 12)
	b.pass(time.Second)
	b.moves = nil
	b.set("n1", cluster.Drained)
	b.pass(200 * time.Millisecond)
	b.want("n1:3 n2:3 n3:3 n4:3")
	b.set("n2", cluster.Drained)
	b.pass(time.Second)
	b.want("n1:0 n2:0 n3:6 n4:6")
	if len(b.moves) != 6 {
		t.Errorf("%d moves for 6 units", len(b.moves))
	}
}

// TestWhatIsNewWaitsForNoOne: a unit that was just started gets its place while
// those that had none wait for more machines.
func TestWhatIsNewWaitsForNoOne(t *testing.T) {
	b := newBoard(t, 2, 4)
	b.set("n1", cluster.Drained)
	b.set("n2", cluster.Drained)
	b.pass(time.Second)
	b.want("n1:0 n2:0")
	b.set("n1", cluster.Schedulable)
	b.step()
	b.want("n1:0 n2:0")
	if why := b.unplaced("u00.service"); !strings.Contains(why, "waits a moment for other machines") {
		t.Errorf("u00.service is unplaced as it %q", why)
	}
	b.snap = b.snap.With(cluster.Change{Units: map[string]*cluster.Unit{"new.service": {Name: "new.service",
		Content: "[Service]\nExecStart=/bin/true\n", Hash: "h", Desired: units.Launched, Generation: 1}}})
	b.step()
	b.want("n1:1 n2:0")
	b.pass(time.Second)
	b.want("n1:5 n2:0")
	// Machines that come one by one don't keep anything waiting for ever.
	b.set("n1", cluster.Drained)
	b.pass(time.Second)
	for n := 0; b.loads() == "n1:0 n2:0"; n++ {
		b.set("n1", []cluster.Schedulability{cluster.Schedulable, cluster.Cordoned}[n%2])
		b.pass(100 * time.Millisecond)
		if n > 100 {
			t.Fatal("they wait for ever")
		}
	}
}

// TestWholeClusterComesBack: the first machine that is back after all were down
// isn't filled with everything; when the others don't come, it is.
func TestWholeClusterComesBack(t *testing.T) {
	for _, comes := range []bool{true, false} {
		b := newBoard(t, 3, 9)
		for _, id := range []string{"n2", "n3"} {
			b.state.Health[id] = cluster.Health{State: cluster.Suspect, Since: noon}
		}
		b.state.Gathering, b.state.Missing = noon.Add(10*time.Second), []string{"n2", "n3"}
		b.pass(3 * time.Second)
		b.want("n1:0 n2:0 n3:0")
		if why := b.unplaced("u00.service"); !strings.Contains(why, "waits up to 7.0 s for n2, n3 to come back") {
			t.Errorf("u00.service is unplaced as it %q", why)
		}
		want := "n1:9 n2:0 n3:0"
		if comes {
			for _, id := range []string{"n2", "n3"} {
				b.state.Health[id] = cluster.Health{State: cluster.Up, Since: b.now}
			}
			b.state.Gathering, b.state.Missing = time.Time{}, nil
			b.pass(time.Second)
			want = "n1:3 n2:3 n3:3"
		} else if b.pass(7 * time.Second); b.loads() != "n1:0 n2:0 n3:0" && !b.now.After(b.state.Gathering) {
			t.Error("it didn't wait")
		}
		b.pass(time.Second)
		b.want(want)
	}
}

// TestANewLeaderTellsInOrder: what it has to tell of the machine that died
// before it led comes before the moves, though it asks the timeline after them.
func TestANewLeaderTellsInOrder(t *testing.T) {
	b := newBoard(t, 3, 3)
	b.pass(time.Second)
	b.term = newTerm(cluster.Leader{Term: 2, Machine: "n1", Since: b.now}, schedule.New())
	b.state.Health["n3"] = cluster.Health{State: cluster.Failed, Since: b.now.Add(-time.Second), Evidence: "silence"}
	b.step()
	b.term.applied(b.look.moves, 0, nil, b.now)
	b.term.recall(nil)
	var kinds []cluster.EventKind
	for _, e := range b.term.events() {
		kinds = append(kinds, e.Kind)
	}
	if want := []cluster.EventKind{cluster.EventMachine, cluster.EventLeader, cluster.EventMoved}; !slices.Equal(kinds,
		want) {
		t.Errorf("told %q, want %q", kinds, want)
	}
}

// TestANewLeaderWaitsForOldFailures: where no one led for long, what kept the
// cluster from a leader may have kept machines from being heard, and both be over.
func TestANewLeaderWaitsForOldFailures(t *testing.T) {
	failed := func(since, back time.Time) cluster.Health {
		return cluster.Health{State: cluster.Failed, Since: since, BackAt: back, Evidence: "silence"}
	}
	const kept, moved = "n1:2 n2:2 n3:2", "n1:3 n2:3 n3:0"
	for name, tt := range map[string]struct {
		ago, answers, back time.Duration // before the term; within it, zero for never
		soon, later, last  string        // after 1, 6 and 12 s
	}{
		"failed just now":       {ago: time.Second, soon: moved, later: moved, last: moved},
		"failed long ago, dead": {ago: time.Minute, soon: kept, later: moved, last: moved},
		"failed long ago, and back": {ago: time.Minute, answers: 2 * time.Second, back: 4 * time.Second,
			soon: kept, later: kept, last: kept},
		"failed long ago, hardly back": {ago: time.Minute, answers: 2 * time.Second, back: time.Minute,
			soon: kept, later: kept, last: kept},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBoard(t, 3, 6)
			b.pass(time.Second)
			b.want(kept)
			run := cluster.Run{ID: "r", Machine: "n3"}
			b.snap = b.snap.With(cluster.Change{Runs: map[string]*cluster.Run{"n3": &run}})
			began := b.now
			b.term = newTerm(cluster.Leader{Term: 2, Machine: "n1", Since: began}, schedule.New())
			b.state.Health["n3"] = failed(began.Add(-tt.ago), time.Time{})
			for _, look := range []struct {
				at   time.Duration
				want string
			}{{time.Second, tt.soon}, {6 * time.Second, tt.later}, {12 * time.Second, tt.last}} {
				for ; b.now.Before(began.Add(look.at)); b.now = b.now.Add(20 * time.Millisecond) {
					switch in := b.now.Sub(began); {
					case tt.answers > 0 && in >= tt.back:
						b.state.Health["n3"] = cluster.Health{State: cluster.Up, Since: began.Add(tt.back)}
					case tt.answers > 0 && in >= tt.answers:
						b.state.Health["n3"] = failed(began.Add(-tt.ago), began.Add(tt.back))
					}
					b.step()
					if evicted, stays := len(b.look.evict) > 0, b.loads() == kept; evicted && stays {
						t.Fatalf("after %s its lease is taken and its units stay", b.now.Sub(began))
					}
					waits := tt.soon == kept && b.now.Before(began.Add(time.Second))
					if waits && (b.look.again.IsZero() || b.look.again.After(began.Add(oldFailureWait))) {
						t.Fatalf("it looks again at %v", b.look.again)
					}
				}
				b.want(look.want)
			}
		})
	}
}

// unplaced is what the last look found of a unit without a place.
func (b *board) unplaced(unit string) string {
	if found := b.look.found.Unplaced[unit]; found != nil {
		return found.Reason
	}
	return ""
}
