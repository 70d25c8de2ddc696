package agent

import (
	"maps"
	"slices"

	"fleettop/cluster"
	"fleettop/units"
)

// order is in which order the units of a machine start and stop, where their
// files say so. systemd keeps such an order only among jobs that it has at the
// same time, and refuses a socket whose service runs already.
type order struct {
	files    map[string]relations // by unit
	first    map[string][]string  // by unit: those that start before it
	triggers map[string][]string  // by unit: those that start it on occasion

	want map[string]cluster.Assignment // as of the last update
}

// relations are those of a file, as of its hash.
type relations struct {
	hash string
	units.Relations
}

// update takes in what is assigned. Units that were taken away keep their
// order while they are held.
func (o *order) update(want map[string]cluster.Assignment, held map[string]units.Status) {
	if o.files != nil && cluster.SameMap(o.want, want) {
		return
	}
	o.want = want
	files := make(map[string]relations, len(want))
	same := true
	for name, r := range o.files {
		_, wanted := want[name]
		if _, ours := held[name]; ours || wanted {
			files[name] = r
		} else {
			same = false
		}
	}
	for name, a := range want {
		if r, known := files[name]; !known || r.hash != a.Hash {
			files[name], same = relationsOf(a), false
		}
	}
	if !same {
		o.files = files
		o.link()
	}
}

// relationsOf reads an assignment's file. One that makes no sense has no
// order; whoever loads it says so.
func relationsOf(a cluster.Assignment) relations {
	r := relations{hash: a.Hash}
	n, err := units.ParseName(a.Unit)
	if err != nil {
		return r
	}
	if file, err := units.ParseFile(a.Content); err == nil {
		r.Relations = file.Relations(n)
	}
	return r
}

// link ties the units to each other. Of those that start before each other in
// a circle one doesn't wait.
func (o *order) link() {
	first := map[string][]string{}
	o.first, o.triggers = map[string][]string{}, map[string][]string{}
	names := slices.Sorted(maps.Keys(o.files))
	before := func(a, b string) {
		_, ours := o.files[a]
		if _, too := o.files[b]; ours && too && a != b {
			first[b] = append(first[b], a)
		}
	}
	for _, name := range names {
		r := o.files[name]
		for _, a := range r.After {
			before(a, name)
		}
		for _, b := range r.Before {
			before(name, b)
		}
		if r.Starts != "" {
			before(name, r.Starts)
			o.triggers[r.Starts] = append(o.triggers[r.Starts], name)
		}
	}
	const visiting, done = 1, 2
	state := map[string]int{}
	var visit func(string)
	visit = func(name string) {
		state[name] = visiting
		for _, a := range first[name] {
			if state[a] == visiting {
				continue
			}
			if state[a] == 0 {
				visit(a)
			}
			o.first[name] = append(o.first[name], a)
		}
		state[name] = done
	}
	for _, name := range names {
		if state[name] == 0 {
			visit(name)
		}
	}
}

// waits reports whether a step must wait for another: a start for those of the
// units before it, and for their being loaded; a stop for those of the units
// that could start it again. due has the kinds of the steps that are due or
// under way, by unit.
func (o *order) waits(s Step, due map[string]StepKind) bool {
	switch s.Kind {
	case Start, Restart:
		return slices.ContainsFunc(o.first[s.Unit], func(name string) bool {
			kind, ok := due[name]
			return ok && (kind == Load || kind == Start || kind == Restart)
		})
	case Stop:
		return slices.ContainsFunc(o.triggers[s.Unit], func(name string) bool {
			kind, ok := due[name]
			return ok && kind == Stop
		})
	}
	return false
}
