package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/cluster"
	"fleettop/units"
)

var t0 = time.Unix(1_700_000_000, 0)

func assigned(desired units.DesiredState, generation, restart int64, hash string) cluster.Assignment {
	return cluster.Assignment{Machine: "m1", Unit: "u.service", Desired: desired, Generation: generation, Restart: restart, Hash: hash, Epoch: 7}
}

func tried(a cluster.Assignment, times int) cluster.Assignment {
	a.Attempt, a.Epoch = times, 9
	return a
}

func takenOver(a cluster.Assignment) cluster.Assignment { a.TakeOver = true; return a }

func givenBack(a cluster.Assignment) cluster.Assignment { a.Release = true; return a }

func TestPlanOneUnit(t *testing.T) {
	launched := assigned(units.Launched, 2, 0, "h1")
	loaded := assigned(units.Loaded, 2, 0, "h1")
	done := noteOf(launched)
	with := func(n Note, f func(*Note)) Note { f(&n); return n }
	cases := []struct {
		name string
		want *cluster.Assignment
		held *units.Status
		note *Note
		kind string // none for no step
	}{
		{"new", &launched, nil, nil, "load"},
		{"just loaded", &launched, &units.Status{Hash: "h1", Active: "inactive"}, nil, "start"},
		{"running, no notes: adopted, not restarted", &launched, &units.Status{Hash: "h1", Active: "active"}, nil, "adopt"},
		{"running and known", &launched, &units.Status{Hash: "h1", Active: "active"}, &done, "none"},
		{"ended by itself: its Restart= had its say", &launched, &units.Status{Hash: "h1", Active: "failed"}, &done, "none"},
		{"placed here again", &launched, &units.Status{Hash: "h1", Active: "active"}, ptr(with(done, func(n *Note) { n.Epoch = 3 })), "adopt"},
		{"start asked for again after it failed", ptr(assigned(units.Launched, 3, 0, "h1")), &units.Status{Hash: "h1", Active: "failed"}, &done, "start"},
		{"the next try, here again", ptr(tried(launched, 1)), &units.Status{Hash: "h1", Active: "failed"}, &done, "start"},
		{"the next try, and it runs by now", ptr(tried(launched, 1)), &units.Status{Hash: "h1", Active: "active"}, &done, "adopt"},
		{"restart asked for", ptr(assigned(units.Launched, 3, 3, "h1")), &units.Status{Hash: "h1", Active: "active"}, &done, "restart"},
		{"restart carried out", ptr(assigned(units.Launched, 3, 3, "h1")), &units.Status{Hash: "h1", Active: "active"}, ptr(noteOf(assigned(units.Launched, 3, 3, "h1"))), "none"},
		{"restart asked for before it came here", ptr(assigned(units.Launched, 3, 3, "h1")), &units.Status{Hash: "h1", Active: "active"}, nil, "adopt"},
		{"new content, not yet loaded", ptr(assigned(units.Launched, 3, 0, "h2")), &units.Status{Hash: "h1", Active: "active"}, &done, "load"},
		{"new content, loaded, the old one runs", ptr(assigned(units.Launched, 3, 0, "h2")), &units.Status{Hash: "h2", Active: "active"}, &done, "restart"},
		{"stopped", ptr(assigned(units.Loaded, 3, 0, "h1")), &units.Status{Hash: "h1", Active: "active"}, &done, "stop"},
		{"loaded only", &loaded, &units.Status{Hash: "h1", Active: "inactive"}, nil, "adopt"},
		{"loaded, then woken by its socket", &loaded, &units.Status{Hash: "h1", Active: "active"}, ptr(noteOf(loaded)), "none"},
		{"starting while asked to stop", ptr(assigned(units.Loaded, 3, 0, "h1")), &units.Status{Hash: "h1", Active: "activating"}, &done, "stop"},
		{"ran and finished elsewhere", ptr(finished(launched)), &units.Status{Hash: "h1", Active: "inactive"}, nil, "adopt"},
		{"ran and finished, the file to come", ptr(finished(launched)), nil, nil, "load"},
		{"finished, and runs by hand", ptr(finished(launched)), &units.Status{Hash: "h1", Active: "active"}, nil, "adopt"},
		{"finished, and stopped", ptr(finished(loaded)), &units.Status{Hash: "h1", Active: "activating"}, nil, "stop"},
		{"taken over, running", ptr(takenOver(launched)), nil, nil, "load"},
		{"taken over, its file here", ptr(takenOver(launched)), &units.Status{Hash: "h1", Active: "active"}, nil, "adopt"},
		{"taken over, woken by its socket", ptr(takenOver(loaded)), &units.Status{Hash: "h1", Active: "active"}, nil, "adopt"},
		{"taken over, then stopped", ptr(takenOver(assigned(units.Loaded, 3, 0, "h1"))), &units.Status{Hash: "h1", Active: "active"}, &done, "stop"},
		{"released", ptr(givenBack(launched)), &units.Status{Hash: "h1", Active: "active"}, &done, "release"},
		{"released with a file of before", ptr(givenBack(launched)), &units.Status{Hash: "h0", Active: "active"}, nil, "release"},
		{"released, by the host's word", ptr(givenBack(launched)), nil, ptr(with(done, func(n *Note) { n.Released = "/etc" })), "none"},
		{"released, and nothing is known of it", ptr(givenBack(launched)), nil, nil, "load"},
		{"release failed", ptr(givenBack(launched)), &units.Status{Hash: "h1", Active: "active"},
			ptr(with(done, func(n *Note) { n.Error, n.RetryAt = "no room", t0.Add(time.Second) })), "none"},
		{"release called off", ptr(assigned(units.Launched, 3, 0, "h1")), &units.Status{Hash: "h1", Active: "active"}, &done, "adopt"},
		{"its file vanished", &launched, &units.Status{Active: "active"}, &done, "load"},
		{"its file vanished, no notes", &launched, &units.Status{Active: "active"}, nil, "load"},
		{"its file vanished, and it was taken away", nil, &units.Status{Active: "active"}, &done, "stop"},
		{"taken away, running", nil, &units.Status{Hash: "h1", Active: "active"}, &done, "stop"},
		{"taken away, stopped", nil, &units.Status{Hash: "h1", Active: "inactive"}, &done, "unload"},
		{"taken away, stop confirmed", nil, &units.Status{Hash: "h1", Active: "active"}, &Note{Desired: units.Inactive}, "unload"},
		{"taken away, stop failed", nil, &units.Status{Hash: "h1", Active: "active"}, &Note{RetryAt: t0.Add(time.Second)}, "none"},
		{"could not be loaded: quarantined", &launched, nil, ptr(with(done, func(n *Note) { n.Error, n.RetryAt = "disk full", t0.Add(time.Second) })), "none"},
		{"could not be loaded: tried again", &launched, nil, ptr(with(done, func(n *Note) { n.Error, n.RetryAt = "disk full", t0.Add(-time.Second) })), "load"},
		{"could not be loaded: asked for again", ptr(assigned(units.Launched, 3, 0, "h1")), nil, ptr(with(done, func(n *Note) { n.Error, n.RetryAt = "disk full", t0.Add(time.Second) })), "load"},
		{"failed to start: left alone", &launched, &units.Status{Hash: "h1", Active: "failed"}, ptr(with(done, func(n *Note) { n.Error = "exit-code" })), "none"},
		{"job not submitted: tried again", &launched, &units.Status{Hash: "h1", Active: "inactive"}, ptr(with(done, func(n *Note) { n.Error, n.RetryAt = "no bus", t0.Add(-time.Second) })), "start"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := "none"
			if steps := Plan(one(c.want), one(c.held), one(c.note), t0); len(steps) > 0 {
				got = steps[0].Kind.String()
			}
			if got != c.kind {
				t.Errorf("got %s, want %s", got, c.kind)
			}
		})
	}
}

func finished(a cluster.Assignment) cluster.Assignment { a.Finished = true; return a }

func ptr[T any](v T) *T { return &v }

func one[T any](v *T) map[string]T {
	if v == nil {
		return map[string]T{}
	}
	return map[string]T{"u.service": *v}
}

// TestPlanConverges carries out steps on a model of a manager, with failures,
// until none is left, and checks that what holds then is what was wanted.
func TestPlanConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a.service", "b.service", "c.service"}
		want, held, notes := map[string]cluster.Assignment{}, map[string]units.Status{}, map[string]Note{}
		bad := map[string]bool{}
		for _, name := range names {
			hash := rapid.SampledFrom([]string{"h1", "h2"})
			if rapid.Bool().Draw(t, "wanted") {
				a := assigned(rapid.SampledFrom([]units.DesiredState{units.Loaded, units.Launched}).Draw(t, "desired"),
					rapid.Int64Range(1, 4).Draw(t, "generation"), 0, hash.Draw(t, "hash"))
				a.Unit, a.Restart = name, rapid.Int64Range(0, a.Generation).Draw(t, "restart")
				want[name] = a
			}
			if rapid.Bool().Draw(t, "held") {
				held[name] = units.Status{Name: name, Hash: hash.Draw(t, "held hash"), Load: "loaded",
					Active: rapid.SampledFrom([]string{"active", "inactive", "failed", "activating"}).Draw(t, "active")}
			}
			if rapid.Bool().Draw(t, "noted") {
				notes[name] = Note{Epoch: rapid.Int64Range(6, 7).Draw(t, "epoch"), Generation: rapid.Int64Range(0, 4).Draw(t, "noted generation"),
					Desired: rapid.SampledFrom([]units.DesiredState{units.Inactive, units.Loaded, units.Launched}).Draw(t, "noted desired"),
					Hash:    hash.Draw(t, "noted hash")}
			}
			bad[name] = rapid.Bool().Draw(t, "bad")
		}
		now := t0
		for round := 0; ; round++ {
			steps := Plan(want, held, notes, now)
			if len(steps) == 0 {
				break
			}
			if round > 6 {
				t.Fatalf("no end to it: %v", steps)
			}
			seen := map[string]bool{}
			for _, s := range steps {
				if seen[s.Unit] {
					t.Fatalf("two steps for %s: %v", s.Unit, steps)
				}
				seen[s.Unit] = true
				carryOut(s, held, notes, bad[s.Unit])
			}
		}
		for name, h := range held {
			a, ok := want[name]
			switch {
			case !ok:
				t.Fatalf("%s is still held", name)
			case bad[name]:
			case h.Hash != a.Hash:
				t.Fatalf("%s holds %s, not %s", name, h.Hash, a.Hash)
			case notes[name].Generation < a.Generation || notes[name].Epoch != a.Epoch:
				t.Fatalf("%s: note %+v for %+v", name, notes[name], a)
			}
		}
		for name := range want {
			if _, ok := held[name]; !ok && !bad[name] {
				t.Fatalf("%s is not held", name)
			}
		}
	})
}

// carryOut is what the agent does with a step's outcome, on a model.
func carryOut(s Step, held map[string]units.Status, notes map[string]Note, bad bool) {
	h, had := held[s.Unit]
	switch s.Kind {
	case Stop:
		h.Active = "inactive"
	case Unload:
		delete(held, s.Unit)
		delete(notes, s.Unit)
		return
	case Load:
		if bad {
			n := noteOf(s.Assignment)
			n.Error, n.RetryAt = "refused", t0.Add(time.Minute)
			notes[s.Unit] = n
			return
		}
		if !had {
			h = units.Status{Name: s.Unit, Load: "loaded", Active: "inactive"}
			delete(notes, s.Unit)
		}
		h.Hash = s.Assignment.Hash
		held[s.Unit] = h
		return
	case Start, Restart:
		h.Active = "active"
		if bad {
			h.Active = "failed"
		}
	}
	held[s.Unit] = h
	if s.Assignment.Unit == "" {
		notes[s.Unit] = Note{Desired: units.Inactive}
		return
	}
	n := noteOf(s.Assignment)
	if bad && s.Kind != Adopt {
		n.Error = fmt.Sprintf("%s failed", s.Kind)
	}
	notes[s.Unit] = n
}

// TestUnsettled: a status is taken for the outcome of a job once it can be, and a unit runs once it stays up.
func TestUnsettled(t *testing.T) {
	n := Note{started: t0, done: t0.Add(50 * time.Millisecond)}
	stopped, failed := n, n
	stopped.told, stopped.Desired = true, units.Loaded
	failed.told, failed.Desired, failed.Error = true, units.Launched, "it failed"
	slow := Note{started: t0, done: t0.Add(200 * time.Millisecond)}
	for name, c := range map[string]struct {
		note   Note
		active string
		since  time.Duration // of the state, after the job began
		now    time.Duration
		heard  time.Duration // a minute before the job began is zero
		want   time.Duration
	}{
		"failed before the start":         {n, "failed", -time.Second, 200 * time.Millisecond, 0, settleLimit - 150*time.Millisecond},
		"never ran before":                {n, "inactive", -time.Hour, 200 * time.Millisecond, 0, settleLimit - 150*time.Millisecond},
		"failed after the start":          {n, "failed", 50 * time.Millisecond, 50*time.Millisecond + lookLeast, 0, 0},
		"stopped by a restart":            {n, "inactive", 10 * time.Millisecond, 60 * time.Millisecond, 0, lookLeast - 10*time.Millisecond},
		"a oneshot that is done":          {n, "inactive", 50 * time.Millisecond, 50*time.Millisecond + lookLeast, 0, 0},
		"just started":                    {n, "active", 50 * time.Millisecond, 60 * time.Millisecond, 0, lookLeast - 10*time.Millisecond},
		"runs":                            {n, "active", 50 * time.Millisecond, 50*time.Millisecond + lookLeast, 0, 0},
		"just started, on a slow machine": {slow, "active", 100 * time.Millisecond, 450 * time.Millisecond, 0, 450 * time.Millisecond},
		"runs, on a slow machine":         {slow, "active", 100 * time.Millisecond, time.Second, 0, 0},
		"the process from before":         {n, "active", -time.Hour, 60 * time.Millisecond, 0, lookLeast - 10*time.Millisecond},
		"came up once more":               {n, "active", 400 * time.Millisecond, 450 * time.Millisecond, 0, lookLeast - 50*time.Millisecond},
		"comes up again and again":        {n, "active", time.Second, time.Second, 0, lookLeast},
		"comes up again for long":         {n, "active", 3300 * time.Millisecond, 50*time.Millisecond + lookLeast + crashLimit, 0, 0},
		"crashes, on a busy machine":      {Note{started: t0, done: t0.Add(time.Second)}, "active", 1990 * time.Millisecond, 2 * time.Second, 0, 990 * time.Millisecond},
		"ran all the time":                {n, "active", -time.Hour, 50*time.Millisecond + lookLeast, 0, 0},
		"is to be started again":          {n, "auto-restart", 10 * time.Millisecond, 50*time.Millisecond + lookLeast, 0, 0},
		"its conditions were not met":     {n, "inactive", -time.Hour, 50*time.Millisecond + settleLimit, 0, 0},
		"failed, conditions not met now":  {n, "failed", -time.Hour, 50*time.Millisecond + settleLimit, 0, 0},
		"of another run of the daemon":    {Note{}, "failed", 0, 0, 0, 0},
		"runs, but the agent slept":       {n, "active", 50 * time.Millisecond, 2 * time.Second, time.Minute + 2*time.Second, lookLeast},
		"active, heard of late":           {n, "active", 50 * time.Millisecond, 400 * time.Millisecond, time.Minute + 300*time.Millisecond, lookLeast - 100*time.Millisecond},
		"started, and not heard of it":    {n, "activating", 10 * time.Millisecond, 50*time.Millisecond + settleLimit, 0, lookLeast + crashLimit - settleLimit},
		"stopped, not heard of yet":       {stopped, "active", -time.Hour, 60 * time.Millisecond, 0, settleLimit - 10*time.Millisecond},
		"stopped":                         {stopped, "inactive", 40 * time.Millisecond, 60 * time.Millisecond, 0, 0},
		"failed while it was stopped":     {stopped, "auto-restart", 10 * time.Millisecond, 60 * time.Millisecond, 0, settleLimit - 10*time.Millisecond},
		"had ended before the stop":       {stopped, "failed", -time.Second, 60 * time.Millisecond, 0, 0},
		"its failure isn't heard of yet":  {failed, "inactive", -time.Second, 60 * time.Millisecond, 0, settleLimit - 10*time.Millisecond},
		"is still starting":               {failed, "activating", 10 * time.Millisecond, 60 * time.Millisecond, 0, settleLimit - 10*time.Millisecond},
		"its start failed":                {failed, "failed", 40 * time.Millisecond, 60 * time.Millisecond, 0, 0},
		"failed, to be started again":     {failed, "auto-restart", 40 * time.Millisecond, 60 * time.Millisecond, 0, 0},
		"failed without a word":           {failed, "inactive", -time.Second, 50*time.Millisecond + settleLimit, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := units.Status{Active: c.active, Since: t0.Add(c.since)}
			if c.active == "auto-restart" {
				h.Active, h.Sub = "activating", c.active
			}
			if got := c.note.unsettled(h, t0.Add(c.now), t0.Add(c.heard-time.Minute)); got != c.want {
				t.Errorf("to be settled in %v, want %v", got, c.want)
			}
		})
	}
}

// TestCrashes: what never stayed up for a look isn't said to run, even if it is up at the end of the wait.
func TestCrashes(t *testing.T) {
	n := Note{started: t0, done: t0.Add(50 * time.Millisecond)}
	end := t0.Add(50*time.Millisecond + lookLeast + crashLimit)
	for _, c := range []struct {
		h    units.Status
		want bool
	}{
		{units.Status{Active: "active", Since: end.Add(-100 * time.Millisecond)}, true},
		{units.Status{Active: "active", Since: end.Add(-lookLeast)}, false},
		{units.Status{Active: "active", Since: end.Add(time.Hour)}, false}, // the clock was set back
		{units.Status{Active: "activating", Sub: "auto-restart", Since: t0}, true},
		{units.Status{Active: "activating", Sub: "start", Restarts: 2, Since: end}, true},
		{units.Status{Active: "activating", Sub: "start", Since: end}, false},
		{units.Status{Active: "inactive", Since: end.Add(-100 * time.Millisecond)}, false},
	} {
		if got := n.crashes(c.h, end); got != c.want {
			t.Errorf("%+v crashes: %v, want %v", c.h, got, c.want)
		}
	}
}

// TestFailuresSayWhenTheyAreTriedAgain lets steps fail in all ways.
func TestFailuresSayWhenTheyAreTriedAgain(t *testing.T) {
	full := errors.New("write u.service: no space left on device")
	for _, c := range []struct {
		kind  StepKind
		err   error
		says  string
		retry time.Duration // zero for never
	}{
		{Load, full, "write u.service: no space left on device; it is tried again every 30 s", 30 * time.Second},
		{Start, errors.New("start u.service: the bus is gone"), "start u.service: the bus is gone; it is tried again every 2 s", 2 * time.Second},
		{Start, &units.JobError{Unit: "u.service", Verb: "start", Result: "exit-code", Detail: "exited with status 3"}, "start u.service: exit-code: exited with status 3", 0},
		{Start, units.ErrNotLoaded, "not loaded on this machine; it is tried again every 2 s", 2 * time.Second},
	} {
		a := New(Config{Log: slog.New(slog.DiscardHandler)})
		a.notes = map[string]Note{}
		want := assigned(units.Launched, 2, 0, "h1")
		a.failed(Step{Kind: c.kind, Unit: "u.service", Assignment: want}, c.err, t0)
		n := a.notes["u.service"]
		if n.Error != c.says || (c.retry == 0) != n.RetryAt.IsZero() || c.retry > 0 && !n.RetryAt.Equal(t0.Add(c.retry)) {
			t.Errorf("%s: %v: %+v", c.kind, c.err, n)
		}
		if again := n; c.kind == Load {
			a.failed(Step{Kind: c.kind, Unit: "u.service", Assignment: want}, c.err, t0.Add(c.retry))
			if again.Error != a.notes["u.service"].Error {
				t.Errorf("the same failure is told as %q and as %q", again.Error, a.notes["u.service"].Error)
			}
		}
	}
}
