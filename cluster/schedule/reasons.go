package schedule

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fleettop/units/wording"
)

// unitName returns the name of a cause's unit.
func (w *world) unitName(i int32) string {
	if i < 0 {
		return "another unit"
	}
	return w.units[i].name
}

// saysOne returns a cause as said of one machine.
func (w *world) saysOne(c cause) string {
	if c.kind == fits {
		return "can take it"
	}
	one, _ := constraints[c.kind].says(w, c)
	return one
}

// leaving says why a unit left a machine, after "moved from n3: ".
func (w *world) leaving(c cause) string {
	if c.kind == fits {
		return w.saysOne(c)
	}
	return cmp.Or(constraints[c.kind].leaves(w, c), w.saysOne(c))
}

// unplaced says why a unit is on no machine.
func (w *world) unplaced(u *unit) string {
	switch {
	case u.parsed.err != "":
		return "it can't be placed: " + u.parsed.err
	case len(w.machines) == 0:
		return "there are no machines; start a daemon that joins this cluster"
	}
	for _, c := range all {
		if why := c.unplaced(w, u); why != "" {
			return why
		}
	}
	return w.summary(u)
}

// summary counts the machines by what keeps a unit from them.
func (w *world) summary(u *unit) string {
	class := w.classOf(&u.parsed)
	counts := w.excludedOn(u, class.able)
	maps.Copy(counts, class.causes) // by a machine itself: never the same as by what is on it
	delete(counts, cause{})
	causes := slices.SortedFunc(maps.Keys(counts), func(a, b cause) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), a.compare(b))
	})
	parts := make([]string, len(causes))
	for i, c := range causes {
		one, several := constraints[c.kind].says(w, c)
		if counts[c] == 1 {
			several = one
		}
		parts[i] = fmt.Sprintf("%d %s", counts[c], several)
	}
	if len(parts) == 0 {
		return "it would replace a unit that was replaced already; it is tried again with the next change"
	}
	return wording.Count(len(w.machines), "machine") + ": " + strings.Join(parts, ", ")
}

// compare orders causes as their constraints are listed.
func (c cause) compare(o cause) int {
	return cmp.Or(cmp.Compare(c.kind, o.kind), cmp.Compare(c.detail, o.detail), cmp.Compare(c.unit, o.unit))
}
