package stitch

import (
	"slices"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/journal"
	"fleettop/units"
)

// on is a state of three machines, with a.service on one of them and the verdict
// that another has failed.
func on(id, failed string) *cluster.Snapshot {
	snap := cluster.NewSnapshot(1)
	for _, m := range []string{"m1", "m2", "m3"} {
		snap.Machines[m] = cluster.Machine{ID: m, Name: m}
	}
	snap.Assignments[cluster.UnitOnMachine{Machine: id, Unit: "a.service"}] = cluster.Assignment{
		Desired: units.Launched,
	}
	snap.Verdicts[failed] = cluster.Health{State: cluster.Failed}
	return snap
}

// told are the texts of all there is.
func told(s *Stitcher, now time.Time) (texts []string) {
	for {
		list, _ := s.Next(now)
		if len(list) == 0 {
			return texts
		}
		for _, e := range list {
			if e.Kind != journal.KindPosition {
				texts = append(texts, e.Message+e.Text)
			}
		}
	}
}

// TestMoves: a move has one divider, before the lines of the machine it led to,
// whatever tells of it first.
func TestMoves(t *testing.T) {
	moved := cluster.Event{ID: "1", Time: epoch, Kind: cluster.EventMoved, Unit: "a.service", From: "m1", To: "m2"}
	active := cluster.Event{ID: "2", Time: epoch, Kind: cluster.EventActive, Unit: "a.service", From: "m1", To: "m2",
		Outage: &cluster.Outage{Start: time.Second}}
	say := func(machine string) func(*Stitcher, time.Time) {
		return func(s *Stitcher, now time.Time) {
			s.Add(
				s.readers[machine],
				[]journal.Entry{{Time: now, Machine: machine, Unit: "a.service", Message: machine}},
				now,
			)
		}
	}
	state := func(id, failed string, events ...cluster.Event) func(*Stitcher, time.Time) {
		return func(s *Stitcher, now time.Time) { s.Cluster(on(id, failed), events, now) }
	}
	wait := func(*Stitcher, time.Time) {}
	type steps []func(*Stitcher, time.Time)
	for name, tt := range map[string]struct {
		began    *cluster.Snapshot
		timeline []cluster.Event
		steps    steps
		want     []string
	}{
		"from a machine that runs": {on("m1", ""), nil, steps{state("m2", "m3"), say("m2")},
			[]string{"moved m1 → m2", "m2"}},
		"with an outage": {on("m1", ""), nil, steps{state("m2", "m1"), say("m2"), state("m2", "m1", active), say("m2")},
			[]string{"moved m1 → m2, outage 1.00s", "m2", "m2"}},
		"with an outage that is known late": {on("m1", ""), nil, steps{state("m2", "m1"), say("m2"), wait, wait, wait,
			wait, wait, state("m2", "m1", active)}, []string{"moved m1 → m2", "m2", "is active on m2, outage 1.00s"}},
		"of a unit that says nothing": {on("m1", ""), nil, slices.Repeat(steps{state("m2", "m1"), wait}, 10),
			[]string{"moved m1 → m2"}},
		"and another before the outage is known": {on("m1", ""), nil, steps{state("m2", "m1"), say("m2"), say("m2"),
			state("m3", "m2"), say("m3"), wait, wait, wait, wait, wait},
			[]string{"moved m1 → m2", "m2", "m2", "moved m2 → m3", "m3"}},
		"whose event comes behind it": {on("m1", ""), nil, steps{state("m2", "m3"), state("m2", "m3", moved), say("m2")},
			[]string{"moved m1 → m2", "m2"}},
		"that the timeline had before the state": {on("m1", ""), []cluster.Event{moved}, steps{state("m2", "m3", moved)},
			[]string{"moved m1 → m2"}},
		"that the state had before the timeline": {on("m2", "m3"), nil, steps{state("m2", "m3", moved)},
			[]string{"moved m1 → m2"}},
		"that both had": {on("m2", "m3"), []cluster.Event{moved}, steps{state("m2", "m3", moved), say("m2")},
			[]string{"moved m1 → m2", "m2"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(Request{Names: []string{"a.service"}, Self: "m1", Follow: true, Began: epoch}, tt.began,
				map[string]cluster.Health{"m2": {State: cluster.Up}, "m3": {State: cluster.Up}}, tt.timeline)
			now := epoch
			readers, _ := s.Plan(now)
			for _, r := range readers {
				s.Add(
					r,
					[]journal.Entry{{Kind: journal.KindPosition, Time: now, Machine: r.Machine, Cursor: "c"}},
					now,
				)
				if !r.Follow {
					s.End(r, nil, now)
				}
			}
			got := told(s, now)
			for _, step := range tt.steps {
				s.Plan(now)
				step(s, now)
				s.Plan(now)
				now = now.Add(time.Second / 2)
				got = append(got, told(s, now)...)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}
