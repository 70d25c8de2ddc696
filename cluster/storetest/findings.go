package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"fleettop/cluster"
)

var findingCases = []testCase{
	{"the leader's findings are seen by all, and go", findingsSeen},
	{"findings and moves of thousands are written", findingsMany},
	{"a past term finds nothing", findingsFenced},
}

func someFindings() cluster.Findings {
	return cluster.Findings{
		Verdicts: map[string]*cluster.Health{"m1": {State: cluster.Failed, Since: time.Unix(1_700_000_000, 7).UTC(),
			Evidence: "no answer <&> for 0.4 s", SilentSince: time.Unix(1_700_000_000, 1).UTC(), By: "m0"}},
		Unplaced: map[string]*cluster.Unplaced{"web.service": {Reason: "1 machine: 1 failed", Generation: 3, Finished: true}},
		WhatIf:   map[string]*cluster.WhatIf{"m2": {Strands: 2, Units: []string{"a.service", "b.service"}}},
	}
}

func findingsSeen(t *testing.T, open func() cluster.Store) {
	s := open()
	l := lead(t, s, "m0")
	f, own := follow(t, s, cluster.Scope{}), follow(t, s, cluster.Scope{Machine: "m1"})
	found := someFindings()
	revision, _, err := s.Apply(t.Context(), l.Term, nil, found)
	must(t, err)
	f.until("the findings", func(snap *cluster.Snapshot) bool { return snap.Revision >= revision })
	for what, snap := range map[string]*cluster.Snapshot{"watched": f.snap, "read": snapshot(t, open())} {
		if !reflect.DeepEqual(snap.Verdicts, map[string]cluster.Health{"m1": *found.Verdicts["m1"]}) ||
			!reflect.DeepEqual(snap.Unplaced, map[string]cluster.Unplaced{"web.service": *found.Unplaced["web.service"]}) ||
			!reflect.DeepEqual(snap.WhatIf, map[string]cluster.WhatIf{"m2": *found.WhatIf["m2"]}) {
			t.Errorf("%s: %+v %+v %+v", what, snap.Verdicts, snap.Unplaced, snap.WhatIf)
		}
	}
	gone := cluster.Findings{Verdicts: map[string]*cluster.Health{"m1": nil, "never": nil},
		Unplaced: map[string]*cluster.Unplaced{"web.service": nil}, WhatIf: map[string]*cluster.WhatIf{"m2": nil}}
	_, _, err = s.Apply(t.Context(), l.Term, nil, gone)
	must(t, err)
	f.until("none", func(snap *cluster.Snapshot) bool { return len(snap.Verdicts)+len(snap.Unplaced)+len(snap.WhatIf) == 0 })
	if seen := own.snap; len(seen.Verdicts)+len(seen.Unplaced)+len(seen.WhatIf) != 0 {
		t.Errorf("a watch of one machine has %+v", seen)
	}
}

func findingsMany(t *testing.T, open func() cluster.Store) {
	const n = 1000
	s := open()
	l := lead(t, s, "m0")
	u := unit("web.service")
	put(t, s, u)
	found := cluster.Findings{Verdicts: map[string]*cluster.Health{"m1": {State: cluster.Up}},
		Unplaced: map[string]*cluster.Unplaced{}}
	for i := range n {
		found.Unplaced[fmt.Sprintf("u%d.service", i)] = &cluster.Unplaced{Reason: "none", Generation: 1}
	}
	to := assignment("m1", u)
	_, errs, err := s.Apply(t.Context(), l.Term, []cluster.Move{{Unit: u.Name, To: to, Generation: 1},
		{Unit: u.Name, To: to, Generation: 9}}, found)
	want(t, errs, err, nil, cluster.ErrConflict)
	if snap := snapshot(t, s); len(snap.Unplaced) != n || len(snap.Verdicts) != 1 || len(snap.Assignments) != 1 {
		t.Errorf("%d unplaced, %d verdicts, %d assignments", len(snap.Unplaced), len(snap.Verdicts), len(snap.Assignments))
	}
}

func findingsFenced(t *testing.T, open func() cluster.Store) {
	s := open()
	l := lead(t, s, "m0")
	must(t, s.Resign(t.Context(), l))
	now := lead(t, s, "m1")
	if _, _, err := s.Apply(t.Context(), l.Term, nil, someFindings()); !errors.Is(err, cluster.ErrNotLeader) {
		t.Errorf("the error is %v", err)
	}
	if _, _, err := s.Apply(t.Context(), l.Term, nil, cluster.Findings{}); !errors.Is(err, cluster.ErrNotLeader) {
		t.Errorf("with nothing to write, the error is %v", err)
	}
	revision, _, err := s.Apply(t.Context(), now.Term, nil, cluster.Findings{})
	if must(t, err); revision != 0 {
		t.Errorf("nothing was written at revision %d", revision)
	}
	if snap := snapshot(t, s); len(snap.Verdicts)+len(snap.Unplaced)+len(snap.WhatIf) != 0 {
		t.Errorf("written: %+v %+v %+v", snap.Verdicts, snap.Unplaced, snap.WhatIf)
	}
}
