package server

import (
	"fmt"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/units"
)

// TestLimit: on how many machines at a time a unit is changed belongs to that change.
func TestLimit(t *testing.T) {
	now := time.Unix(1000, 0)
	old := &cluster.Unit{Name: "a.service", Content: "old", Hash: "h-old", Desired: units.Launched, Generation: 3}
	change := func(u *cluster.Unit, content string, machines int) cluster.Unit {
		s, e := decide(api.Start, u.Name, u, &file{content: content, hash: "h-" + content}, true, noTrouble, "me", now)
		if e != nil {
			t.Fatal(e)
		}
		if machines > 0 {
			s.limit(machines, "me", now)
		}
		return s.next
	}
	next := change(old, "new", 2)
	if next.MaxUnavailable != 2 || next.Generation != 4 {
		t.Errorf("changed with a limit: %+v", next)
	}
	faster := change(&next, "new", 3) // while it goes on
	if faster.MaxUnavailable != 3 || faster.Generation != 5 || faster.Restart != next.Restart {
		t.Errorf("another limit: %+v", faster)
	}
	if again := change(&faster, "new", 3); again != faster {
		t.Errorf("the same limit: %+v", again)
	}
	if last := change(&faster, "newer", 0); last.MaxUnavailable != 0 || last.Generation != 6 {
		t.Errorf("changed without a limit: %+v", last)
	}
}

func TestDecide(t *testing.T) {
	now := time.Unix(1000, 0)
	have := func(d units.DesiredState) *cluster.Unit {
		return &cluster.Unit{Name: "a.service", Content: "old", Hash: "h-old", Desired: d, Generation: 3, By: "before"}
	}
	old, other := &file{content: "old", hash: "h-old"}, &file{content: "new", hash: "h-new"}
	commented := &file{content: "# a comment\nold", hash: "h-old"}
	for _, tc := range []struct {
		name       string
		verb       api.Verb
		old        *cluster.Unit
		file       *file
		replace    bool
		in         trouble
		desired    units.DesiredState
		generation int64
		restart    int64
		changed    bool
		content    string
		replaced   bool
		refused    bool
	}{
		{name: "submit new", verb: api.Submit, file: other, desired: units.Inactive, generation: 1, changed: true, content: "new"},
		{name: "start new", verb: api.Start, file: other, desired: units.Launched, generation: 1, changed: true, content: "new"},
		{name: "submit the same again", verb: api.Submit, old: have(units.Launched), file: old, desired: units.Launched, generation: 3, content: "old"},
		{name: "submit with another comment", verb: api.Submit, old: have(units.Loaded), file: commented, desired: units.Loaded, generation: 3, content: "old"},
		{name: "submit other content", verb: api.Submit, old: have(units.Inactive), file: other, refused: true},
		{name: "submit other content to replace restarts", verb: api.Submit, old: have(units.Launched), file: other, replace: true, desired: units.Launched, generation: 4, restart: 4, replaced: true, changed: true, content: "new"},
		{name: "replace by the same", verb: api.Submit, old: have(units.Loaded), file: old, replace: true, desired: units.Loaded, generation: 3, content: "old"},
		{name: "start with a differing file", verb: api.Start, old: have(units.Inactive), file: other, refused: true},
		{name: "load with a differing file", verb: api.Load, old: have(units.Launched), file: other, refused: true},
		{name: "load to replace restarts", verb: api.Load, old: have(units.Launched), file: other, replace: true, desired: units.Launched, generation: 4, restart: 4, replaced: true, changed: true, content: "new"},
		{name: "replace by another comment", verb: api.Submit, old: have(units.Launched), file: commented, replace: true, desired: units.Launched, generation: 4, changed: true, content: "# a comment\nold"},
		{name: "start to replace restarts", verb: api.Start, old: have(units.Launched), file: other, replace: true, desired: units.Launched, generation: 4, restart: 4, replaced: true, changed: true, content: "new"},
		{name: "start to replace what is loaded", verb: api.Start, old: have(units.Loaded), file: other, replace: true, desired: units.Launched, generation: 4, replaced: true, changed: true, content: "new"},
		{name: "load inactive", verb: api.Load, old: have(units.Inactive), desired: units.Loaded, generation: 4, changed: true, content: "old"},
		{name: "load launched", verb: api.Load, old: have(units.Launched), desired: units.Launched, generation: 3, content: "old"},
		{name: "start launched", verb: api.Start, old: have(units.Launched), desired: units.Launched, generation: 3, content: "old"},
		{name: "start what failed", verb: api.Start, old: have(units.Launched), in: isFailed, desired: units.Launched, generation: 4, changed: true, content: "old"},
		{name: "start what was refused", verb: api.Start, old: have(units.Launched), in: isRefused, desired: units.Launched, generation: 4, changed: true, content: "old"},
		{name: "start what failed before it was stopped", verb: api.Start, old: have(units.Loaded), in: isFailed, desired: units.Launched, generation: 4, changed: true, content: "old"},
		{name: "load what failed", verb: api.Load, old: have(units.Launched), in: isFailed, desired: units.Launched, generation: 3, content: "old"},
		{name: "load what was refused", verb: api.Load, old: have(units.Loaded), in: isRefused, desired: units.Loaded, generation: 4, changed: true, content: "old"},
		{name: "stop what failed", verb: api.Stop, old: have(units.Loaded), in: isFailed, desired: units.Loaded, generation: 3, content: "old"},
		{name: "start what ended", verb: api.Start, old: have(units.Launched), in: isEnded, desired: units.Launched, generation: 4, changed: true, content: "old"},
		{name: "load what ended", verb: api.Load, old: have(units.Launched), in: isEnded, desired: units.Launched, generation: 3, content: "old"},
		{name: "stop what was started by hand", verb: api.Stop, old: have(units.Loaded), in: isRunning, desired: units.Loaded, generation: 4, changed: true, content: "old"},
		{name: "load what was started by hand", verb: api.Load, old: have(units.Loaded), in: isRunning, desired: units.Loaded, generation: 3, content: "old"},
		{name: "submit what was refused", verb: api.Submit, old: have(units.Launched), file: old, in: isRefused, desired: units.Launched, generation: 3, content: "old"},
		{name: "stop launched", verb: api.Stop, old: have(units.Launched), desired: units.Loaded, generation: 4, changed: true, content: "old"},
		{name: "stop inactive", verb: api.Stop, old: have(units.Inactive), desired: units.Inactive, generation: 3, content: "old"},
		{name: "unload launched", verb: api.Unload, old: have(units.Launched), desired: units.Inactive, generation: 4, changed: true, content: "old"},
		{name: "restart launched", verb: api.Restart, old: have(units.Launched), desired: units.Launched, generation: 4, restart: 4, changed: true, content: "old"},
		{name: "restart inactive", verb: api.Restart, old: have(units.Inactive), desired: units.Launched, generation: 4, restart: 4, changed: true, content: "old"},
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
			if s.changed != tc.changed || s.replaced != tc.replaced {
				t.Errorf("changed %v, replaced %v", s.changed, s.replaced)
			}
			if s.changed != (u.By == "me" && u.At.Equal(now)) {
				t.Errorf("changed %v, but by %q at %v", s.changed, u.By, u.At)
			}
		})
	}
}

// TestOwnFile: an instance has its template's content until it is given a file of its own.
func TestOwnFile(t *testing.T) {
	have := &cluster.Unit{Name: "web@1.service", Content: "old", Hash: "h", FromTemplate: true, Desired: units.Loaded, Generation: 3}
	for _, tc := range []struct {
		file          file
		replace       bool
		from, changed bool
	}{
		{file{content: "old", hash: "h"}, false, false, true},
		{file{content: "new", hash: "n"}, true, false, true},
		{file{content: "new", hash: "n", template: true}, true, true, true},
		{file{content: "old", hash: "h", template: true}, false, true, false},
		{file{content: "old", hash: "h", template: true}, true, true, false},
	} {
		s, e := decide(api.Load, have.Name, have, &tc.file, tc.replace, noTrouble, "me", time.Unix(1000, 0))
		if e != nil || s.next.FromTemplate != tc.from || s.changed != tc.changed {
			t.Errorf("%+v, replace %v: from the template %v, changed %v, %v", tc.file, tc.replace, s.next.FromTemplate, s.changed, e)
		}
	}
}

func TestTroubles(t *testing.T) {
	for name, tc := range map[string]struct {
		desired    units.DesiredState
		active     string
		error      string
		generation int64 // carried out, of 3
		epoch      int64 // reported on, of 7
		want       trouble
	}{
		"runs":                     {units.Launched, "active", "", 3, 7, 0},
		"ended, or stopped":        {units.Launched, "inactive", "", 3, 7, isEnded},
		"ended, not carried out":   {units.Launched, "inactive", "", 0, 7, 0},
		"starting":                 {units.Launched, "activating", "", 0, 7, 0},
		"failed":                   {units.Launched, "failed", "", 3, 7, isFailed},
		"failed for an agent":      {units.Launched, "failed", "exit-code", 3, 7, isFailed | isRefused},
		"of an earlier stay":       {units.Launched, "failed", "", 3, 6, 0},
		"stopped":                  {units.Loaded, "inactive", "", 3, 7, 0},
		"started by hand":          {units.Loaded, "active", "", 3, 7, isRunning},
		"started by hand, reloads": {units.Loaded, "reloading", "", 3, 7, isRunning},
		"being stopped":            {units.Loaded, "deactivating", "", 2, 7, 0},
		"could not be stopped":     {units.Loaded, "active", "timeout", 3, 7, isRefused | isRunning},
	} {
		snap := cluster.NewSnapshot(1)
		k := cluster.UnitOnMachine{Machine: "m1", Unit: "a.service"}
		snap.Assignments[k] = cluster.Assignment{Machine: "m1", Unit: "a.service", Desired: tc.desired, Generation: 3, Epoch: 7}
		snap.Statuses[k] = cluster.Status{Machine: "m1", Epoch: tc.epoch, Generation: tc.generation, Error: tc.error,
			Status: units.Status{Name: "a.service", Active: tc.active}}
		if got := troubles(snap)["a.service"]; got != tc.want {
			t.Errorf("%s: %b, want %b", name, got, tc.want)
		}
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

// TestFactsAreBounded: units that come and go leave nothing behind.
func TestFactsAreBounded(t *testing.T) {
	b := newUnitCache()
	keep := cluster.Unit{Name: "keep.service", Hash: "h", Content: "[Unit]\nDescription=kept\n[Service]\nExecStart=/bin/true\n"}
	for n := range 3 * mostCached {
		b.of(cluster.Unit{Name: fmt.Sprintf("u%d.service", n), Hash: "h"})
		if f := b.of(keep); f.description != "kept" {
			t.Fatalf("after %d units the facts are %+v", n, f)
		}
	}
	if n := len(b.known) + len(b.old); n > 2*mostCached {
		t.Errorf("%d units are remembered", n)
	}
}
