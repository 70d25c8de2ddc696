package server

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/view"
	"fleettop/units"
	"fleettop/units/retry"
	"fleettop/units/wording"
)

// exitLook is the least time between two looks at how far an Exit is, as changes come in crowds.
const exitLook = 50 * time.Millisecond

// Exit is what the units of drained machines have before them.
type Exit struct {
	machines []string
	attempt  map[string]int64 // of the drain before, by machine
	// epochs is set for the moves of a rebalance, by unit: an assignment of another
	// epoch isn't to leave. attempt is that of the rebalance then.
	epochs map[string]int64
	units  []string
	from   map[string]string // the machine that each has left, or is to leave
	global map[string]bool
	once   map[string]bool // they run and end, and are activating for as long as they run
}

// NewExit returns the Exit of the units that machines have.
func NewExit(snap *cluster.Snapshot, machines ...string) *Exit {
	x := &Exit{machines: machines, attempt: map[string]int64{}, units: unitsOn(snap, machines), from: map[string]string{}, global: map[string]bool{},
		once: map[string]bool{}}
	for _, id := range machines {
		x.attempt[id] = snap.Machines[id].Drain.Attempt
	}
	for k := range snap.Statuses {
		if slices.Contains(machines, k.Machine) {
			x.from[k.Unit] = k.Machine
		}
	}
	for k := range snap.Assignments {
		if slices.Contains(machines, k.Machine) {
			x.from[k.Unit] = k.Machine
		}
	}
	for _, name := range x.units {
		f := readFacts(snap.Units[name])
		x.global[name], x.once[name] = f.global, f.once
	}
	return x
}

// Await waits until the units have left the machines, which are drained, and
// do elsewhere as they are told, or the leader has said why they stay. It calls
// report with how far that is, and returns what became of each machine's. It
// fails when ctx ends, and when one of the machines is not drained any more.
func (x *Exit) Await(ctx context.Context, lease *view.Lease, report func(api.Progress)) (map[string]*api.Moved, error) {
	seen := x.epochs != nil // drained
	for {
		snap, live, _, changed := lease.Latest()
		if snap == nil || !live {
			report(api.Progress{Total: len(x.units), Text: "the cluster's store can't be reached at the moment"})
		} else if name := x.open(snap); name != "" && seen {
			if x.epochs != nil {
				return nil, api.Refuse(api.CodeConflict, "what has not moved stays", "the rebalance was taken back for %s", name)
			}
			return nil, api.Refuse(api.CodeConflict, "what has not moved stays",
				"%s takes units again: the drain was taken back", name)
		} else if name == "" {
			seen = true
			left, text := x.left(snap)
			report(api.Progress{Done: len(x.units) - left, Total: len(x.units), Text: text})
			if left == 0 {
				return x.outcome(snap), nil
			}
		}
		select {
		case <-changed:
			retry.Pause(ctx, exitLook)
		case <-time.After(time.Second): // how long it takes is told
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// open names a machine that is not drained, or none.
func (x *Exit) open(snap *cluster.Snapshot) string {
	for _, id := range x.machines {
		m, known := snap.Machines[id]
		if x.epochs != nil {
			if known && m.Drain.Attempt != x.attempt[id] {
				return cmp.Or(m.Name, id)
			}
			continue
		}
		if known && (m.Schedule != cluster.Drained || m.Drain.Attempt == x.attempt[id]) {
			return cmp.Or(m.Name, id)
		}
	}
	return ""
}

// left counts the units that have not left the machines or are not settled
// elsewhere, and says what is done about the first of them that is under way.
func (x *Exit) left(snap *cluster.Snapshot) (left int, text string) {
	where := map[string][]cluster.UnitOnMachine{}
	for k := range snap.Assignments {
		where[k.Unit] = append(where[k.Unit], k)
	}
	for k := range snap.Statuses {
		if _, assigned := snap.Assignments[k]; !assigned {
			where[k.Unit] = append(where[k.Unit], k)
		}
	}
	kept := map[string]bool{} // machines with units that stay
	for _, name := range x.units {
		for _, k := range where[name] {
			kept[k.Machine] = kept[k.Machine] || x.stays(snap, k)
		}
	}
	waits := ""
	for _, name := range x.units {
		slices.SortFunc(where[name], func(a, b cluster.UnitOnMachine) int { return cmp.Compare(a.Machine, b.Machine) })
		under, idle := "", ""
		for _, k := range where[name] {
			if _, assigned := snap.Assignments[k]; assigned && kept[k.Machine] && (x.global[name] || x.stays(snap, k)) {
				continue
			}
			switch does, moves := x.waitsFor(snap, k); {
			case does != "" && moves:
				under = cmp.Or(under, does)
			case does != "":
				idle = cmp.Or(idle, does)
			}
		}
		if under+idle != "" {
			left++
		}
		text, waits = cmp.Or(text, under), cmp.Or(waits, idle)
	}
	return left, cmp.Or(text, waits)
}

// stays reports whether the leader has said why a unit stays on a machine that is drained.
func (x *Exit) stays(snap *cluster.Snapshot, k cluster.UnitOnMachine) bool {
	stay := snap.Assignments[k].Stay
	return stay.Reason != "" && slices.Contains(x.machines, k.Machine) && stay.Attempt == snap.Machines[k.Machine].Drain.Attempt
}

// waitsFor says what a unit on a machine has yet to do, empty if nothing, and
// whether that is under way.
func (x *Exit) waitsFor(snap *cluster.Snapshot, k cluster.UnitOnMachine) (text string, moves bool) {
	on := cmp.Or(snap.Machines[k.Machine].Name, k.Machine)
	a, assigned := snap.Assignments[k]
	st, reported := snap.Statuses[k]
	leaves := slices.Contains(x.machines, k.Machine)
	if x.epochs != nil {
		leaves = x.from[k.Unit] == k.Machine && (!assigned || a.Leaving || a.Epoch == x.epochs[k.Unit])
	}
	switch {
	case leaves && assigned && snap.Leader.Machine == "":
		return "no machine leads the cluster at the moment", true
	case leaves && assigned && a.Leaving:
		return k.Unit + " is being stopped on " + on + since(a), true
	case leaves && assigned:
		return k.Unit + " is still given to " + on, false
	case leaves && st.Error != "":
		return fmt.Sprintf("%s can't be stopped on %s: %s", k.Unit, on, st.Error), true
	case leaves:
		return k.Unit + " is being stopped on " + on, true
	case !assigned, x.global[k.Unit]: // it has nothing to do with the machines that are left
		return "", false
	case x.once[k.Unit] && reported && st.Epoch == a.Epoch && st.Active == "activating":
		return "", false
	case !reported || st.Epoch != a.Epoch || st.Generation < a.Generation || st.Error == "" && st.Active == "activating":
		if from := snap.Machines[a.MovedFrom].Name; from != "" {
			on += ", from " + from
		}
		return k.Unit + " is starting on " + on + since(a), true
	}
	return "", false
}

// since says how long an assignment has been there, once that is worth telling.
func since(a cluster.Assignment) string {
	if d := time.Since(a.Since); !a.Since.IsZero() && d >= time.Second {
		return ", for " + wording.Age(d)
	}
	return ""
}

// outcome is where the units are that have left, by the machine they left.
func (x *Exit) outcome(snap *cluster.Snapshot) map[string]*api.Moved {
	all := map[string]*api.Moved{}
	for _, id := range x.machines {
		all[id] = &api.Moved{}
	}
	at := map[string]cluster.UnitOnMachine{}
	for k, a := range snap.Assignments {
		if old, twice := at[k.Unit]; !twice || snap.Assignments[old].Epoch < a.Epoch {
			at[k.Unit] = k
		}
	}
	for _, name := range x.units {
		out := all[x.from[name]]
		k, placed := at[name]
		u, known := snap.Units[name]
		switch st := snap.Statuses[k]; {
		case x.global[name]: // it stopped there, as it was to
		case placed && x.stays(snap, k):
			out.Stayed = append(out.Stayed, api.Unplaced{Unit: name, Reason: snap.Assignments[k].Stay.Reason})
		case !placed && known && u.Desired != units.Inactive:
			out.Nowhere = append(out.Nowhere, name)
		case placed && (st.Error != "" || st.Active == "failed"):
			out.Failed = append(out.Failed, name)
			out.Units++
		case placed:
			out.Units++
		}
	}
	return all
}
