package schedule

import "fleettop/cluster"

// registered: the machine has a record in the cluster.
type registered struct{ unconstrained }

func (registered) admits(_ *world, on *machine, _ *parsed, _ bool) cause {
	if !on.known {
		return cause{kind: unregistered}
	}
	return cause{}
}

func (registered) describe(*world, cause) (one, several string) {
	return "was removed from the cluster", "were removed from the cluster"
}

func (registered) describeLeaving(*world, cause) string { return "machine was removed" }

// running: the machine is up. The units of a machine that isn't stay assigned to it until
// plan.displace finds them another.
type running struct{ unconstrained }

func (running) admits(_ *world, on *machine, _ *parsed, stays bool) cause {
	if on.state != cluster.Up && !stays {
		return unhealthy(on)
	}
	return cause{}
}

func unhealthy(on *machine) cause { return cause{kind: notRunning, detail: string(on.state)} }

func (running) describe(_ *world, why cause) (one, several string) {
	switch cluster.HealthState(why.detail) {
	case cluster.Failed:
		return "failed", "failed"
	case cluster.DaemonGone:
		return "has lost its daemon", "have lost their daemons"
	}
	return "is " + why.detail, "are " + why.detail
}

func (c running) describeLeaving(w *world, why cause) string { return ofMachine(c.describe(w, why)) }

// open: the operator has neither cordoned nor drained the machine. Either keeps its units: those of a
// drained one leave it a few at a time, by plan.drain.
type open struct{ unconstrained }

func (open) admits(_ *world, on *machine, _ *parsed, stays bool) cause {
	if on.rec.Schedule != cluster.Schedulable && !stays {
		return closedBy(on)
	}
	return cause{}
}

func closedBy(on *machine) cause { return cause{kind: notOpen, detail: string(on.rec.Schedule)} }

func (open) describe(_ *world, why cause) (one, several string) {
	return "is " + why.detail, "are " + why.detail
}

func (c open) describeLeaving(w *world, why cause) string { return ofMachine(c.describe(w, why)) }

// ofMachine makes a phrase of the wording for one machine.
func ofMachine(one, _ string) string { return "machine " + one }
