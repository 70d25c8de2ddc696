package schedule

import (
	"cmp"
	"fmt"
	"slices"

	"fleettop/cluster"
	"fleettop/units"
	"fleettop/units/wording"
)

// Roll is an update of a global unit that hasn't reached all of its machines.
type Roll struct {
	Unit string
	// Text says how many machines are updated, and what the others wait for.
	Text string
	// Failed says what failed on which machine. No other machine is updated until
	// that is mended. Empty while the roll continues.
	Failed string
}

// roll is the state of an update of a global unit. It is computed from the
// assignments and statuses only, so a new leader continues where the last one was.
type roll struct {
	now     []int32 // machines to be updated by this plan
	behind  []int32 // machines to be updated later
	busy    []int32 // machines with the update on which it isn't active yet
	trouble string  // what went wrong on one of them
	done    int     // machines on which the update is active
}

// rollOf decides which machines are updated now: at most as many at a time as
// the unit allows, first those on which it isn't active, and none after a
// failure. A machine is done when the updated unit is active on it.
func (p *plan) rollOf(u *unit) roll {
	var r roll
	var idle, active []int32
	for _, m := range p.machinesWith(u) {
		k := u.on[m]
		if k < 0 {
			r.busy = append(r.busy, m)
			continue
		}
		a := &u.given[k]
		st := p.in.Snapshot.Statuses[cluster.UnitOnMachine{Machine: a.Machine, Unit: u.name}]
		switch up := u.isUp(a, &st); {
		case a.Generation == u.rec.Generation && up:
			r.done++
		case a.Generation == u.rec.Generation && !p.machines[m].state.Runs():
		case a.Generation == u.rec.Generation:
			r.busy = append(r.busy, m)
			if why := failure(a, &st); why != "" && r.trouble == "" {
				r.trouble = why + " on " + p.machines[m].name
			}
		case !u.disturbedBy(a):
			r.now = append(r.now, m)
		case p.machines[m].state != cluster.Up:
			r.behind = append(r.behind, m)
		case up:
			active = append(active, m)
		default:
			idle = append(idle, m)
		}
	}
	due := append(idle, active...)
	room := min(max(0, max(1, u.rec.MaxUnavailable)-len(r.busy)), len(due))
	if r.trouble != "" {
		room = 0
	}
	r.now = append(r.now, due[:room]...)
	r.behind = append(due[room:], r.behind...)
	return r
}

// disturbedBy reports whether the update of an assignment interrupts a running unit.
func (u *unit) disturbedBy(a *cluster.Assignment) bool {
	return a.Desired == units.Launched && u.rec.Desired == units.Launched &&
		(a.Hash != u.rec.Hash || a.Restart != u.rec.Restart)
}

// isUp reports whether an assignment was carried out, and its unit is active or
// has nothing to do on this machine.
func (u *unit) isUp(a *cluster.Assignment, st *cluster.Status) bool {
	if st.Epoch != a.Epoch || st.Generation < a.Generation || st.Error != "" {
		return false
	}
	switch st.Active {
	case "active", "reloading":
		return true
	case "inactive":
		return a.Desired == units.Loaded || u.parsed.oneshot && st.Result == "success" || st.Result == units.ResultCondition
	}
	return false
}

// failure words what went wrong with an assignment; empty if nothing did.
func failure(a *cluster.Assignment, st *cluster.Status) string {
	switch {
	case st.Epoch != a.Epoch || st.Generation < a.Generation:
		return ""
	case st.Error != "":
		return "it failed (" + st.Error + ")"
	case st.Active == "failed":
		return "it failed (" + cmp.Or(st.Result, st.Sub) + ")"
	case st.Active == "inactive":
		return "it ended"
	}
	return ""
}

// describe words how far a roll is; empty if it is complete.
func (r *roll) describe(w *world) string {
	if len(r.behind) == 0 {
		return ""
	}
	machines := r.done + len(r.busy) + len(r.now) + len(r.behind)
	text := fmt.Sprintf("updated on %d of %s", r.done, wording.Count(machines, "machine"))
	switch busy := slices.Concat(r.busy, r.now); {
	case r.trouble != "":
		return text + "; the others wait, as " + r.trouble
	case len(busy) > 0:
		return text + "; the others wait until it is active on " + w.machines[busy[0]].name
	}
	return text + "; the others wait until " + w.machines[r.behind[0]].name + " is up"
}

// updateGlobal adds the next updates of a global unit's assignments.
func (p *plan) updateGlobal(r *Result, u *unit) {
	roll := p.rollOf(u)
	for _, m := range roll.now {
		r.Moves = append(r.Moves, p.update(u, &u.given[u.on[m]]))
	}
	if text := roll.describe(p.world); text != "" {
		r.Rolls = append(r.Rolls, Roll{Unit: u.name, Text: text, Failed: roll.trouble})
	}
}
