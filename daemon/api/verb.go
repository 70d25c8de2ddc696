package api

import (
	"fmt"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// Verb is what can be done to a unit.
type Verb string

// Verbs, in fleet's words. None but Stop, Unload and Destroy lowers a unit's
// desired state.
const (
	Submit  Verb = "submit"  // make the file known
	Load    Verb = "load"    // at least loaded
	Start   Verb = "start"   // launched
	Stop    Verb = "stop"    // launched becomes loaded
	Unload  Verb = "unload"  // inactive
	Restart Verb = "restart" // launched, and stopped before if it runs
	Destroy Verb = "destroy" // forget it
)

// Verbs lists all verbs.
func Verbs() []Verb { return []Verb{Submit, Load, Start, Stop, Unload, Restart, Destroy} }

// places tells whether the verb puts a unit onto a machine.
func (v Verb) places() bool { return v == Load || v == Start || v == Restart }

// aboutRunning reports whether the verb is about what runs, or might: never a template.
func (v Verb) aboutRunning() bool { return v.places() || v == Stop || v == Unload }

// takesFiles tells whether the verb submits files.
func (v Verb) takesFiles() bool { return v == Submit || v == Load || v == Start }

// step is what a verb makes of one unit.
type step struct {
	next     cluster.Unit
	changed  bool
	destroy  bool
	replaced bool // its content is another one now
}

// file is content for a unit.
type file struct {
	content  string
	hash     string
	template bool // it is the content of the unit's template
}

// decide is what a verb makes of a unit: old is nil where the cluster doesn't
// know it, f is nil where no file came with it. One of them is set. Trouble is
// what keeps the unit from being as it is wanted already.
func decide(v Verb, name string, old *cluster.Unit, f *file, replace bool, in trouble, by string, now time.Time) (step, *Error) {
	var s step
	switch {
	case old == nil:
		s.next = cluster.Unit{Name: name, Content: f.content, Hash: f.hash,
			FromTemplate: f.template, Desired: units.Inactive}
		s.changed = true
	default:
		s.next = *old
		if f != nil {
			if err := s.take(v, f, replace); err != nil {
				return step{}, err
			}
		}
	}
	if v == Destroy {
		return step{next: s.next, changed: true, destroy: true}, nil
	}
	if want := v.desired(s.next.Desired); want != s.next.Desired {
		s.next.Desired, s.changed = want, true
	}
	s.replaced = old != nil && old.Hash != s.next.Hash
	if v == Restart || s.replaced && old.Desired == units.Launched && s.next.Desired == units.Launched {
		s.next.Restart, s.changed = s.next.Generation+1, true
	}
	if !s.changed && v.retries(in) {
		s.changed = true // a new generation is tried at once, and leaves alone what runs
	}
	if s.changed {
		s.next.Generation++
		s.next.By, s.next.At = by, now
	}
	return s, nil
}

// trouble is in which ways a unit isn't as it is wanted on machines it is given to.
type trouble uint8

const noTrouble trouble = 0

const (
	isEnded   trouble = 1 << iota // it is to run, and ended by itself or was stopped by hand
	isRunning                     // it is not to run, and was started by hand or by another unit
	isFailed                      // it ran and failed
	isRefused                     // the machine could not do as it was told
)

// troubles are the units that aren't as they are wanted.
func troubles(snap *cluster.Snapshot) map[string]trouble {
	found := map[string]trouble{}
	for k, st := range snap.Statuses {
		if a, assigned := snap.Assignments[k]; assigned && st.Epoch == a.Epoch {
			if in := troubleOf(a, st); in != 0 {
				found[k.Unit] |= in
			}
		}
	}
	return found
}

func troubleOf(a cluster.Assignment, st cluster.Status) (in trouble) {
	if st.Error != "" {
		in |= isRefused
	}
	if st.Active == "failed" {
		return in | isFailed
	}
	idle, carried := st.Active == "inactive", st.Generation >= a.Generation
	switch {
	case carried && a.Desired == units.Launched && idle:
		in |= isEnded
	case carried && a.Desired == units.Loaded && !idle:
		in |= isRunning
	}
	return in
}

// retries reports whether the verb, asked for again, is to be tried again.
func (v Verb) retries(in trouble) bool {
	switch v {
	case Load:
		return in&isRefused != 0
	case Start:
		return in&(isEnded|isFailed|isRefused) != 0
	case Stop:
		return in&isRunning != 0
	}
	return false
}

// take gives a unit the content of a file. What differs from the content it
// has is refused, unless it is to be replaced.
func (s *step) take(v Verb, f *file, replace bool) *Error {
	if !replace && s.next.Hash != f.hash {
		hint := "compare with `fleettop cat " + s.next.Name + "`; --replace puts the file in its place"
		if v != Submit {
			hint += fmt.Sprintf(", and `fleettop %s %s` takes the one submitted", v, s.next.Name)
		}
		return refuse(CodeConflict, hint, "%s is already submitted with other content (hash %.7s, yours is %.7s)",
			s.next.Name, s.next.Hash, f.hash)
	}
	was := s.next
	if replace {
		s.next.Content, s.next.Hash = f.content, f.hash
	}
	if replace || !f.template {
		s.next.FromTemplate = f.template
	}
	s.changed = s.next != was
	return nil
}

func (v Verb) desired(now units.DesiredState) units.DesiredState {
	switch v {
	case Load:
		if now == units.Inactive {
			return units.Loaded
		}
	case Start, Restart:
		return units.Launched
	case Stop:
		if now == units.Launched {
			return units.Loaded
		}
	case Unload:
		return units.Inactive
	}
	return now
}
