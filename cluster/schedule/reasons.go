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

// describeOne words a cause for one machine.
func (w *world) describeOne(c cause) string {
	if c.kind == fits {
		return "can take it"
	}
	one, _ := constraints[c.kind].describe(w, c)
	return one
}

// whyLeft words why a unit left a machine, after "moved from n3: ".
func (w *world) whyLeft(c cause) string {
	if c.kind == fits {
		return w.describeOne(c)
	}
	return cmp.Or(constraints[c.kind].describeLeaving(w, c), w.describeOne(c))
}

// whyUnplaced words why a unit is on no machine.
func (w *world) whyUnplaced(u *unit) string {
	switch {
	case u.parsed.err != "":
		return "it can't be placed: " + u.parsed.err
	case len(w.machines) == 0:
		return "there are no machines; start a daemon that joins this cluster"
	}
	for _, c := range all {
		if why := c.whyUnplaced(w, u); why != "" {
			return why
		}
	}
	return w.summary(u)
}

// summary counts the machines by the causes that keep a unit out.
func (w *world) summary(u *unit) string {
	class := w.classOf(&u.parsed)
	counts := w.excludedOn(u, class.able)
	maps.Copy(counts, class.causes) // causes of other kinds
	delete(counts, cause{})
	causes := slices.SortedFunc(maps.Keys(counts), func(a, b cause) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), a.compare(b))
	})
	parts := make([]string, len(causes))
	for i, c := range causes {
		one, several := constraints[c.kind].describe(w, c)
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
