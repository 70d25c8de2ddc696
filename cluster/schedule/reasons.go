package schedule

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fleettop/cluster"
	"fleettop/units/wording"
)

// cause is why a machine doesn't take or keep a unit; its zero value means that it does.
type cause struct {
	kind   causeKind
	detail string
	unit   int32 // the other unit, of conflicting, replaced and apart; -1 where it isn't known
}

type causeKind uint8

const (
	fits        causeKind = iota
	unknown               // the machine has no record
	unhealthy             // detail is its state
	closed                // an operator's word: cordoned or drained
	otherID               // MachineID names another machine
	lacking               // MachineMetadata; detail is key=value
	apart                 // a MachineOf target is elsewhere
	conflicting           // Conflicts, either way
	replaced              // a unit there replaces this one
)

// unitName returns the name of a cause's unit.
func (w *world) unitName(i int32) string {
	if i < 0 {
		return "another unit"
	}
	return w.units[i].name
}

// says returns a cause as said of one machine ("lacks ssd=true") or of several ("lack ssd=true").
func (w *world) says(c cause, several bool) string {
	pick := func(one, many string) string {
		if several {
			return many
		}
		return one
	}
	switch c.kind {
	case fits:
		return "can take it"
	case unknown:
		return pick("was removed from the cluster", "were removed from the cluster")
	case unhealthy:
		switch cluster.HealthState(c.detail) {
		case cluster.Failed:
			return "failed"
		case cluster.DaemonGone:
			return pick("has lost its daemon", "have lost their daemons")
		}
		return pick("is ", "are ") + c.detail
	case closed:
		return pick("is ", "are ") + c.detail
	case otherID:
		return pick("is not the one MachineID names", "are not the one MachineID names")
	case lacking:
		return pick("lacks ", "lack ") + c.detail
	case apart:
		return pick("does not run ", "do not run ") + w.unitName(c.unit)
	case conflicting:
		return pick("conflicts with ", "conflict with ") + cmp.Or(c.detail, w.unitName(c.unit))
	case replaced:
		return pick("runs ", "run ") + w.unitName(c.unit) + ", which replaces it"
	}
	return ""
}

// leaving says why a unit left a machine, after "moved from n3: ".
func (w *world) leaving(c cause) string {
	switch c.kind {
	case unhealthy, closed, lacking:
		return "machine " + w.says(c, false)
	case unknown:
		return "machine was removed"
	case otherID:
		return "MachineID names another machine"
	case apart:
		return "follows " + w.unitName(c.unit)
	case replaced:
		return "replaced by " + w.unitName(c.unit)
	}
	return w.says(c, false)
}

// verdict tells whether a machine would take a unit that is on none.
func (w *world) verdict(u *unit, m int32) cause {
	if why := w.machines[m].refuses(&u.parsed); why.kind != fits {
		return why
	}
	for _, t := range u.targets {
		if !w.hosts(m, t) {
			return cause{kind: apart, unit: t}
		}
	}
	return w.excluded(u, m)
}

// excluded tells which unit on a machine keeps a unit out.
func (w *world) excluded(u *unit, m int32) cause {
	if w.blocked(u, m) {
		return cause{kind: conflicting, unit: w.rival(u, m)}
	}
	for _, r := range u.replacers {
		if w.units[r].at == m {
			return cause{kind: replaced, unit: r}
		}
	}
	return cause{}
}

// mostNames is how many conflicting units a summary names.
const mostNames = 3

// unplaced says why a unit is on no machine.
func (w *world) unplaced(u *unit) string {
	req := &u.parsed.req
	switch {
	case u.parsed.err != "":
		return "it can't be placed: " + u.parsed.err
	case len(w.machines) == 0:
		return "there are no machines; start a daemon that joins this cluster"
	}
	if req.MachineID != "" {
		m, ok := w.byID[req.MachineID]
		if !ok {
			return "MachineID=" + req.MachineID + " names no machine of this cluster; list-machines --full shows those there are"
		}
		return "MachineID allows only " + w.machines[m].name + ", which " + w.says(w.verdict(u, m), false)
	}
	for k, t := range u.targets {
		if t < 0 || (w.units[t].at < 0 && len(w.units[t].on) == 0) {
			return "MachineOf=" + req.MachineOf[k] + ", which is on no machine"
		}
		if m := w.units[t].at; m >= 0 {
			if why := w.verdict(u, m); why.kind != fits {
				return "MachineOf=" + req.MachineOf[k] + ", which is on " + w.machines[m].name + "; " +
					w.machines[m].name + " " + w.says(why, false)
			}
		}
	}
	return w.summary(u)
}

// summary counts the machines by what keeps a unit from them.
func (w *world) summary(u *unit) string {
	class := w.classOf(&u.parsed)
	counts := maps.Clone(class.causes)
	var rivals []string
	conflicts, more := 0, false
	for _, m := range class.able {
		if more && w.blocked(u, m) {
			conflicts++
			continue
		}
		why := w.verdictHere(u, m)
		if why.kind != conflicting {
			counts[why]++
			continue
		}
		conflicts++
		if name := w.unitName(why.unit); !slices.Contains(rivals, name) {
			if len(rivals) < mostNames {
				rivals = append(rivals, name)
			} else {
				more = true
			}
		}
	}
	if conflicts > 0 {
		slices.Sort(rivals)
		names := strings.Join(rivals, ", ")
		if more {
			names += " and others"
		}
		counts[cause{kind: conflicting, detail: names}] = conflicts
	}
	delete(counts, cause{})
	causes := slices.SortedFunc(maps.Keys(counts), func(a, b cause) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a.kind, b.kind), cmp.Compare(a.detail, b.detail), cmp.Compare(a.unit, b.unit))
	})
	parts := make([]string, len(causes))
	for i, c := range causes {
		parts[i] = fmt.Sprintf("%d %s", counts[c], w.says(c, counts[c] > 1))
	}
	if len(parts) == 0 {
		return "it would replace a unit that was replaced already; it is tried again with the next change"
	}
	return wording.Count(len(w.machines), "machine") + ": " + strings.Join(parts, ", ")
}

// verdictHere is verdict for a machine that is known not to refuse the unit's class.
func (w *world) verdictHere(u *unit, m int32) cause {
	for _, t := range u.targets {
		if !w.hosts(m, t) {
			return cause{kind: apart, unit: t}
		}
	}
	return w.excluded(u, m)
}
