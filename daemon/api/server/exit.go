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
)

// exitLook is the least time between two looks at how far an Exit is, as changes come in crowds.
const exitLook = 50 * time.Millisecond

// Exit is what the units of drained machines have before them.
type Exit struct {
	machines []string
	units    []string
	from     map[string]string // the machine that each has left, or is to leave
	global   map[string]bool
	once     map[string]bool // they run and end, and are activating for as long as they run
}

// NewExit returns the Exit of the units that machines have.
func NewExit(snap *cluster.Snapshot, machines ...string) *Exit {
	x := &Exit{machines: machines, units: unitsOn(snap, machines), from: map[string]string{}, global: map[string]bool{},
		once: map[string]bool{}}
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
// do elsewhere as they are told, as far as other machines take them. It calls
// report with how far that is, and returns what became of each machine's. It
// fails when ctx ends, and when one of the machines is not drained any more.
func (x *Exit) Await(ctx context.Context, lease *view.Lease, report func(api.Progress)) (map[string]*api.Moved, error) {
	seen := false // drained
	for {
		snap, live, _, changed := lease.Latest()
		if snap == nil || !live {
			report(api.Progress{Total: len(x.units), Text: "the cluster's store can't be reached at the moment"})
		} else if name := x.open(snap); name != "" && seen {
			return nil, api.Refuse(api.CodeConflict, "what has not moved stays",
				"%s takes units again: the drain was called off", name)
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
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// open names a machine that is not drained, or none.
func (x *Exit) open(snap *cluster.Snapshot) string {
	for _, id := range x.machines {
		if m, known := snap.Machines[id]; known && m.Schedule != cluster.Drained {
			return cmp.Or(m.Name, id)
		}
	}
	return ""
}

// left counts the units that have not left the machines or are not settled
// elsewhere, and says what the first of them waits for.
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
	for _, name := range x.units {
		slices.SortFunc(where[name], func(a, b cluster.UnitOnMachine) int { return cmp.Compare(a.Machine, b.Machine) })
		for _, k := range where[name] {
			if waits := x.waitsFor(snap, k); waits != "" {
				if left++; text == "" {
					text = waits
				}
				break
			}
		}
	}
	return left, text
}

// waitsFor says what a unit on a machine has yet to do; empty if nothing.
func (x *Exit) waitsFor(snap *cluster.Snapshot, k cluster.UnitOnMachine) string {
	on := cmp.Or(snap.Machines[k.Machine].Name, k.Machine)
	a, assigned := snap.Assignments[k]
	st, reported := snap.Statuses[k]
	leaves := slices.Contains(x.machines, k.Machine)
	switch {
	case leaves && assigned && snap.Leader.Machine == "":
		return "no machine leads the cluster at the moment"
	case leaves && assigned:
		return k.Unit + " is still given to " + on
	case leaves && st.Error != "":
		return fmt.Sprintf("%s can't be stopped on %s: %s", k.Unit, on, st.Error)
	case leaves:
		return k.Unit + " is being stopped on " + on
	case !assigned, x.global[k.Unit]: // it has nothing to do with the machines that are left
		return ""
	case x.once[k.Unit] && reported && st.Epoch == a.Epoch && st.Active == "activating":
		return ""
	case !reported || st.Epoch != a.Epoch || st.Generation < a.Generation || st.Error == "" && st.Active == "activating":
		return k.Unit + " is starting on " + on
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
	for k := range snap.Assignments {
		at[k.Unit] = k
	}
	for _, name := range x.units {
		out := all[x.from[name]]
		k, placed := at[name]
		u, known := snap.Units[name]
		switch st := snap.Statuses[k]; {
		case x.global[name]: // it stopped there, as it was to
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
