package server

import (
	"fmt"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/units"
)

// places reports whether the verb puts a unit onto a machine.
func places(v api.Verb) bool { return v == api.Load || v == api.Start || v == api.Restart }

// aboutRunning reports whether the verb is about what runs, or might: never a template.
func aboutRunning(v api.Verb) bool { return places(v) || v == api.Stop || v == api.Unload }

// takesFiles reports whether the verb submits files.
func takesFiles(v api.Verb) bool { return v == api.Submit || v == api.Load || v == api.Start }

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

	generation int64 // of the template

	adoptFrom string // see api.File
}

// decide is what a verb makes of a unit: old is nil where the cluster doesn't
// know it, f is nil where no file came with it. One of them is set. Trouble is
// what keeps the unit from being as it is wanted already.
func decide(v api.Verb, name string, old *cluster.Unit, f *file, replace bool, in trouble, by string,
	now time.Time) (step, *api.Error) {
	var s step
	switch {
	case old == nil:
		s.next = cluster.Unit{Name: name, Content: f.content, Hash: f.hash,
			FromTemplate: f.template, TemplateGeneration: f.generation, AdoptedFrom: f.adoptFrom, Desired: units.Inactive}
		s.changed = true
	case f != nil && f.adoptFrom != "":
		return step{}, api.Refuse(api.CodeConflict, "`fleettop status "+name+"` shows it",
			"%s is the cluster's already", name)
	case old.Released && v != api.Release && v != api.Destroy && in&isRefused == 0:
		return step{}, api.Refuse(api.CodeConflict,
			"wait until that is done, and adopt it again if it is to be the cluster's",
			"%s is being released to its host", name)
	default:
		s.next = *old
		if old.Released && v != api.Release {
			s.next.Released, s.changed = false, true
		}
		if f != nil {
			if err := s.take(v, f, replace); err != nil {
				return step{}, err
			}
		}
	}
	if v == api.Destroy {
		return step{next: s.next, changed: true, destroy: true}, nil
	}
	if v == api.Release {
		s.changed = !old.Released
		s.next.Released = true
	}
	if want := desired(v, s.next.Desired); want != s.next.Desired {
		s.next.Desired, s.changed = want, true
	}
	s.replaced = old != nil && old.Hash != s.next.Hash
	if v == api.Restart || s.replaced && old.Desired == units.Launched && s.next.Desired == units.Launched {
		s.next.Restart, s.changed = s.next.Generation+1, true
	}
	if !s.changed && retries(v, in) {
		s.changed = true // a new generation is tried at once, and leaves alone what runs
	}
	if s.changed {
		s.newGeneration(by, now)
	}
	return s, nil
}

func (s *step) newGeneration(by string, now time.Time) {
	s.next.Generation++
	s.next.By, s.next.At = by, now
	s.next.MaxUnavailable = 0
}

// limit sets on how many machines at a time the change of a global unit is
// carried out, also of one that goes on already.
func (s *step) limit(machines int, by string, now time.Time) {
	if !s.changed && s.next.MaxUnavailable != machines {
		s.changed = true
		s.newGeneration(by, now)
	}
	s.next.MaxUnavailable = machines
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
func retries(v api.Verb, in trouble) bool {
	switch v {
	case api.Load:
		return in&isRefused != 0
	case api.Start:
		return in&(isEnded|isFailed|isRefused) != 0
	case api.Stop:
		return in&isRunning != 0
	}
	return false
}

// take gives a unit the content of a file. What differs from the content it
// has is refused, unless it is to be replaced.
func (s *step) take(v api.Verb, f *file, replace bool) *api.Error {
	if !replace && s.next.Hash != f.hash {
		hint := "compare with `fleettop cat " + s.next.Name + "`; --replace puts the file in its place"
		if v != api.Submit {
			hint += fmt.Sprintf(", and `fleettop %s %s` takes the one submitted", v, s.next.Name)
		}
		return api.Refuse(api.CodeConflict, hint, "%s is already submitted with other content (hash %.7s, yours is %.7s)",
			s.next.Name, s.next.Hash, f.hash)
	}
	was := s.next
	if replace {
		s.next.Content, s.next.Hash = f.content, f.hash
	}
	if replace || !f.template {
		s.next.FromTemplate = f.template
	}
	if s.next != was {
		s.next.TemplateGeneration = f.generation
	}
	s.changed = s.next != was
	return nil
}

func desired(v api.Verb, now units.DesiredState) units.DesiredState {
	switch v {
	case api.Load:
		if now == units.Inactive {
			return units.Loaded
		}
	case api.Start, api.Restart:
		return units.Launched
	case api.Stop:
		if now == units.Launched {
			return units.Loaded
		}
	case api.Unload:
		return units.Inactive
	}
	return now
}
