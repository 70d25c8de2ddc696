package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// conclude notes the outcome of the jobs that have one by now.
func (a *Agent) conclude(now time.Time) {
	for unit, n := range a.notes {
		h, held := a.held[unit]
		switch {
		case !held:
		case !n.done.IsZero() && n.unsettled(h, now, a.since(unit)) == 0:
			if n.Error == "" && n.Desired == units.Launched && n.crashes(h, now) {
				err := units.JobError{Unit: unit, Verb: "start", Result: h.Result,
					Detail: "it ended at once, and its Restart= starts it again"}
				n.Error = err.Error()
			}
			n.started, n.done, n.told = time.Time{}, time.Time{}, false
			a.note(unit, n)
		case n.done.IsZero() && n.startFailed() && h.Active == "active" && now.Sub(h.Since) >= settleLimit:
			n.Error = "" // its Restart= made good for it
			a.note(unit, n)
		}
	}
}

// land notes what became of a flight.
func (a *Agent) land(f *flight) {
	f.cancel()
	if f.starts() {
		a.starts--
		a.pace.ended()
	}
	now := time.Now()
	for _, s := range f.steps {
		delete(a.flights, s.Unit)
		err := f.errs[s.Unit]
		if err == nil {
			err = f.err
		}
		switch {
		case errors.Is(err, context.Canceled):
		case f.kind == Release && err == nil:
			a.released(s, f.path)
		case f.kind == Load && isTheHosts(s, err):
			a.released(s, "the host's own file")
		case f.kind == Isolate:
			a.isolated(s, err)
		case f.kind == Unload && err == nil:
			a.forget(s.Unit)
			a.drops(s.Unit)
		case err != nil:
			a.failed(s, err, now)
			if n := a.notes[s.Unit]; s.Assignment.Unit != "" && n.RetryAt.IsZero() {
				n.started, n.done, n.told = f.since, now, true
				a.note(s.Unit, n)
			}
		case f.kind == Load:
			if _, had := a.held[s.Unit]; !had || a.notes[s.Unit].Error != "" {
				a.forget(s.Unit)
			}
			a.holds(s)
		case s.Assignment.Unit == "":
			a.note(s.Unit, Note{Desired: units.Inactive})
		default:
			n := noteOf(s.Assignment)
			if f.starts() || f.kind == Stop {
				n.started, n.done, n.told = f.since, now, f.kind == Stop
			}
			a.note(s.Unit, n)
		}
	}
}

// holds remembers at once that the manager has a file, without waiting to be told.
func (a *Agent) holds(s Step) {
	if a.held == nil {
		return
	}
	a.held = maps.Clone(a.held)
	h, ok := a.held[s.Unit]
	if !ok {
		h = units.Status{Name: s.Unit, Load: "loaded", Active: "inactive", Sub: "dead", Since: time.Now()}
	}
	h.Hash = s.Assignment.Hash
	a.held[s.Unit] = h
}

// drops forgets at once that the manager has a file.
func (a *Agent) drops(unit string) {
	if a.held != nil {
		a.held = maps.Clone(a.held)
		delete(a.held, unit)
	}
}

// failed quarantines a unit with its error. A job that ran and failed is
// carried out: its Restart= has had its say, and so will the next verb.
func (a *Agent) failed(s Step, err error, now time.Time) {
	n := noteOf(s.Assignment)
	n.Error = err.Error()
	wait := retryJob
	var job *units.JobError
	switch {
	case s.Assignment.Unit == "":
	case errors.As(err, &job):
		wait = 0
	case errors.Is(err, units.ErrNotLoaded):
		a.drops(s.Unit) // the next try loads it
	case s.Kind == Load:
		wait = retryLoad
	}
	if wait > 0 {
		n.RetryAt = now.Add(wait)
		// How often, not when next: the status stays the same from try to try.
		n.Error += fmt.Sprintf("; it is tried again every %.0f s", wait.Seconds())
	}
	level := slog.LevelWarn
	if a.notes[s.Unit].Error == n.Error {
		level = slog.LevelDebug // said already, and shown with the unit
	}
	a.log.Log(context.Background(), level, "could not "+s.Kind.String(), "unit", s.Unit, "error", err)
	a.note(s.Unit, n)
}

func (a *Agent) note(unit string, n Note) {
	if t := a.guard.of[unit]; t.exclusive {
		n.Fence = a.fence
	} else if t.isolation > 0 {
		n.Isolation = t.isolation
	}
	a.notes[unit] = n
	a.notesDirty = true
}

func (a *Agent) forget(unit string) {
	delete(a.notes, unit)
	a.notesDirty = true
}

// statuses is what is to be reported: every unit held or refused.
func (a *Agent) statuses() map[string]cluster.Status {
	out := make(map[string]cluster.Status, len(a.held))
	for name, h := range a.held {
		n := a.notes[name]
		s := cluster.Status{Machine: a.cfg.Machine, Status: h, Error: n.Error, Generation: n.Generation}
		if !n.done.IsZero() || a.guard.of[name].exclusive && (a.fence == "" || n.Fence != a.fence) {
			s.Generation = 0 // nothing is known of its outcome yet, or the fence ended it
		}
		s.ByHand = n.ByHand
		if w, ok := a.want[name]; ok {
			s.Epoch = w.Epoch
			if n.Generation == w.Generation && n.Attempt < w.Attempt {
				s.Generation = 0 // what is known is of a try before
			}
		} else if w, ok := a.leaving[name]; ok {
			s.Epoch = w.Epoch
		}
		out[name] = s
	}
	for name, w := range a.leaving {
		if _, held := a.held[name]; !held && a.flights[name] == nil {
			out[name] = cluster.Status{Machine: a.cfg.Machine, Epoch: w.Epoch, Generation: w.Generation,
				Status: units.Status{Name: name, Load: "not-found", Active: "inactive", Sub: "dead"}}
		}
	}
	for name, w := range a.want {
		n := a.notes[name]
		if _, ok := out[name]; ok || n.Error == "" && n.Released == "" {
			continue
		}
		s := cluster.Status{Machine: a.cfg.Machine, Epoch: w.Epoch, Generation: n.Generation, Error: n.Error,
			Released: n.Released, Status: units.Status{Name: name, Hash: w.Hash, Load: "error", Active: "inactive", Sub: "dead"}}
		if n.Released != "" {
			s.Load = "released"
		}
		out[name] = s
	}
	return out
}
