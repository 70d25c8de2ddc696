package drill

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/units"
	"fleettop/units/wording"
)

// CheckLength returns an error where a drill can't be as long as that.
func CheckLength(d time.Duration) error {
	if d < cluster.DrillLeast || d > cluster.DrillMost {
		return fmt.Errorf("a drill of %s is not possible: it takes from %s to %s", d, cluster.DrillLeast, "5m")
	}
	return nil
}

// Refusal is why a drill of a machine would do harm now, and what to do.
type Refusal struct{ Why, Advice string }

// Error implements error.
func (r *Refusal) Error() string { return r.Why + ": " + r.Advice }

// Check returns why a drill of a machine would do harm, or nil. id is the drill's
// own ID where it was asked for already.
func Check(snap *cluster.Snapshot, health map[string]cluster.Health, machine, id string) *Refusal {
	for _, check := range []func() *Refusal{
		func() *Refusal { return checkOthers(snap, machine, id) },
		func() *Refusal { return checkMachine(snap, health, machine) },
		func() *Refusal { return checkVoters(snap, health, machine) },
		func() *Refusal { return checkExclusive(snap, machine) },
	} {
		if r := check(); r != nil {
			return r
		}
	}
	return nil
}

func refuse(advice, why string, args ...any) *Refusal {
	return &Refusal{fmt.Sprintf(why, args...), advice}
}

// checkOthers refuses where something else goes on in the cluster.
func checkOthers(snap *cluster.Snapshot, machine, id string) *Refusal {
	if snap.Leader.Run == "" {
		return refuse("wait until one does", "no machine leads the cluster")
	}
	if snap.Leader.Hold != "" {
		return refuse("wait until that is over, or the units would stay where they died",
			"failovers are held: %s", snap.Leader.Hold)
	}
	for _, other := range sorted(snap.Machines) {
		m := snap.Machines[other]
		switch {
		case m.Drill.UnderWay() && m.Drill.ID != id:
			return refuse("wait until it is over", "a drill of %s is under way", m.Label())
		case m.Schedule == cluster.Drained && unitsOn(snap, other) > 0:
			return refuse("wait until its units have moved, or uncordon it", "%s is being drained", m.Label())
		case len(m.Sheds) > 0 && rebalances(snap, m):
			return refuse("wait until it is done, or take it back with `fleettop rebalance --cancel`",
				"a rebalance moves units of %s", m.Label())
		}
	}
	return nil
}

// rebalances reports whether units of a machine are still to be moved by a rebalance.
func rebalances(snap *cluster.Snapshot, m cluster.Machine) bool {
	return slices.ContainsFunc(m.Sheds, func(s cluster.Shed) bool {
		a, there := snap.Assignments[cluster.UnitOnMachine{Machine: m.ID, Unit: s.Unit}]
		return there && a.Epoch == s.Epoch && a.Stay.Reason == ""
	})
}

func unitsOn(snap *cluster.Snapshot, machine string) (n int) {
	for k, a := range snap.Assignments {
		if k.Machine == machine && a.Stay.Reason == "" {
			n++
		}
	}
	return n
}

// checkMachine refuses a machine that isn't one of several that take units.
func checkMachine(snap *cluster.Snapshot, health map[string]cluster.Health, machine string) *Refusal {
	m, name := snap.Machines[machine], snap.Label(machine)
	_, runs := snap.Runs[machine]
	switch state := health[machine].State; {
	case state != cluster.Up || !runs:
		return refuse("a drill needs a machine that is up", "%s is %s", name, orUnknown(state))
	case m.Schedule != cluster.Schedulable:
		return refuse("`fleettop uncordon "+name+"` first", "%s is %s", name, m.Schedule)
	}
	takes := false
	for _, id := range sorted(snap.Machines) {
		switch state := health[id].State; {
		case id == machine:
		case state == cluster.Suspect || state == cluster.DaemonGone:
			return refuse("wait until it is known what became of it", "%s is %s", snap.Label(id), state)
		case state == cluster.Up && snap.Machines[id].Schedule == cluster.Schedulable:
			takes = true
		}
	}
	if !takes {
		return refuse("add a machine, or uncordon one", "%s is the only machine that takes units", name)
	}
	return nil
}

func orUnknown(s cluster.HealthState) string {
	if s == "" {
		return "not judged yet"
	}
	return string(s)
}

// checkVoters refuses where the store would lose its quorum, or could.
func checkVoters(snap *cluster.Snapshot, health map[string]cluster.Health, machine string) *Refusal {
	if snap.Machines[machine].Seat == cluster.NoSeat && !embeds(snap) {
		return nil
	}
	voters, left := 0, 0
	for _, id := range sorted(snap.Machines) {
		m := snap.Machines[id]
		switch {
		case m.Seat == cluster.Learner:
			return refuse("wait until it is a voter", "%s is becoming a voter", m.Label())
		case m.Seat != cluster.Voter:
			continue
		case health[id].State != cluster.Up:
			return refuse("bring it back, or wait until it is replaced", "%s is a voter and %s", m.Label(),
				orUnknown(health[id].State))
		}
		voters++
		if id != machine {
			left++
		}
	}
	if voters > 0 && left < voters/2+1 {
		return refuse("a cluster needs three voters for one of them to be away",
			"the store would lose its quorum: %d of %s would be left", left, wording.Count(voters, "voter"))
	}
	return nil
}

// embeds reports whether the cluster's etcd runs in its daemons.
func embeds(snap *cluster.Snapshot) bool {
	for _, m := range snap.Machines {
		if m.EtcdPeerURL != "" {
			return true
		}
	}
	return false
}

// checkExclusive refuses where an exclusive unit would be away for the length of its fence.
func checkExclusive(snap *cluster.Snapshot, machine string) *Refusal {
	var names []string
	for k, a := range snap.Assignments {
		if k.Machine != machine || !strings.Contains(a.Content, "Exclusive") {
			continue
		}
		if file, err := units.ParseFile(a.Content); err == nil && file.Exclusive() {
			names = append(names, k.Unit)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	is := "is an exclusive unit"
	if len(names) > 1 {
		is = "are exclusive units"
	}
	return refuse("drain the machine and uncordon it: then they are elsewhere", "%s %s on %s", strings.Join(names, ", "),
		is, snap.Label(machine))
}

func sorted(machines map[string]cluster.Machine) []string { return slices.Sorted(maps.Keys(machines)) }
