package api

import (
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

func TestDecide(t *testing.T) {
	now := time.Unix(1000, 0)
	have := func(d units.DesiredState) *cluster.Unit {
		return &cluster.Unit{Name: "a.service", Content: "old", Hash: "h-old", Desired: d, Generation: 3, By: "before"}
	}
	old, other := &file{"old", "h-old"}, &file{"new", "h-new"}
	commented := &file{"# a comment\nold", "h-old"}
	for _, tc := range []struct {
		name       string
		verb       Verb
		old        *cluster.Unit
		file       *file
		replace    bool
		in         trouble
		desired    units.DesiredState
		generation int64
		restart    int64
		changed    bool
		content    string
		warns      bool
		refused    bool
	}{
		{name: "submit new", verb: Submit, file: other, desired: units.Inactive, generation: 1, changed: true, content: "new"},
		{name: "start new", verb: Start, file: other, desired: units.Launched, generation: 1, changed: true, content: "new"},
		{name: "submit the same again", verb: Submit, old: have(units.Launched), file: old, desired: units.Launched, generation: 3, content: "old"},
		{name: "submit with another comment", verb: Submit, old: have(units.Loaded), file: commented, desired: units.Loaded, generation: 3, content: "old"},
		{name: "submit other content", verb: Submit, old: have(units.Inactive), file: other, refused: true},
		{name: "submit other content to replace", verb: Submit, old: have(units.Launched), file: other, replace: true, desired: units.Launched, generation: 4, changed: true, content: "new"},
		{name: "replace by the same", verb: Submit, old: have(units.Loaded), file: old, replace: true, desired: units.Loaded, generation: 3, content: "old"},
		{name: "start with a differing file", verb: Start, old: have(units.Inactive), file: other, desired: units.Launched, generation: 4, changed: true, content: "old", warns: true},
		{name: "start to replace restarts", verb: Start, old: have(units.Launched), file: other, replace: true, desired: units.Launched, generation: 4, restart: 4, changed: true, content: "new"},
		{name: "start to replace what is loaded", verb: Start, old: have(units.Loaded), file: other, replace: true, desired: units.Launched, generation: 4, changed: true, content: "new"},
		{name: "load inactive", verb: Load, old: have(units.Inactive), desired: units.Loaded, generation: 4, changed: true, content: "old"},
		{name: "load launched", verb: Load, old: have(units.Launched), desired: units.Launched, generation: 3, content: "old"},
		{name: "start launched", verb: Start, old: have(units.Launched), desired: units.Launched, generation: 3, content: "old"},
		{name: "start what failed", verb: Start, old: have(units.Launched), in: isFailed, desired: units.Launched, generation: 4, changed: true, content: "old"},
		{name: "start what was refused", verb: Start, old: have(units.Launched), in: isRefused, desired: units.Launched, generation: 4, changed: true, content: "old"},
		{name: "start what failed before it was stopped", verb: Start, old: have(units.Loaded), in: isFailed, desired: units.Launched, generation: 4, changed: true, content: "old"},
		{name: "load what failed", verb: Load, old: have(units.Launched), in: isFailed, desired: units.Launched, generation: 3, content: "old"},
		{name: "load what was refused", verb: Load, old: have(units.Loaded), in: isRefused, desired: units.Loaded, generation: 4, changed: true, content: "old"},
		{name: "stop what failed", verb: Stop, old: have(units.Loaded), in: isFailed, desired: units.Loaded, generation: 3, content: "old"},
		{name: "submit what was refused", verb: Submit, old: have(units.Launched), file: old, in: isRefused, desired: units.Launched, generation: 3, content: "old"},
		{name: "stop launched", verb: Stop, old: have(units.Launched), desired: units.Loaded, generation: 4, changed: true, content: "old"},
		{name: "stop inactive", verb: Stop, old: have(units.Inactive), desired: units.Inactive, generation: 3, content: "old"},
		{name: "unload launched", verb: Unload, old: have(units.Launched), desired: units.Inactive, generation: 4, changed: true, content: "old"},
		{name: "restart launched", verb: Restart, old: have(units.Launched), desired: units.Launched, generation: 4, restart: 4, changed: true, content: "old"},
		{name: "restart inactive", verb: Restart, old: have(units.Inactive), desired: units.Launched, generation: 4, restart: 4, changed: true, content: "old"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, e := decide(tc.verb, "a.service", tc.old, tc.file, tc.replace, tc.in, "me", now)
			if (e != nil) != tc.refused {
				t.Fatalf("refused: %v", e)
			}
			if tc.refused {
				return
			}
			u := s.next
			if u.Name != "a.service" || u.Desired != tc.desired || u.Generation != tc.generation || u.Restart != tc.restart || u.Content != tc.content {
				t.Errorf("unit became %+v", u)
			}
			if s.changed != tc.changed || (s.warning != "") != tc.warns {
				t.Errorf("changed %v, warning %q", s.changed, s.warning)
			}
			if s.changed != (u.By == "me" && u.At.Equal(now)) {
				t.Errorf("changed %v, but by %q at %v", s.changed, u.By, u.At)
			}
		})
	}
}

func TestReplaceCircle(t *testing.T) {
	replaces := map[string][]string{"a.service": {"b.service"}, "b.service": {"c*.service"}, "c1.service": {"a.service"}, "d.service": {"a.service"}, "e.service": {"e.service"}}
	for name, circle := range map[string]int{"a.service": 3, "b.service": 3, "c1.service": 3, "d.service": 0, "e.service": 1} {
		if got := replaceCircle(name, replaces); len(got) != circle {
			t.Errorf("%s: circle %v, want %d units", name, got, circle)
		}
	}
}
