package schedule

import "fleettop/cluster"

// registered: the machine has a record in the cluster.
type registered struct{ indifferent }

func (registered) admits(_ *world, on *machine, _ *parsed, _ bool) cause {
	if !on.known {
		return cause{kind: unregistered}
	}
	return cause{}
}

func (registered) says(*world, cause) (one, several string) {
	return "was removed from the cluster", "were removed from the cluster"
}

func (registered) leaves(*world, cause) string { return "machine was removed" }

// running: the machine is up. What is on another stays until plan.displace finds it a place.
type running struct{ indifferent }

func (running) admits(_ *world, on *machine, _ *parsed, stays bool) cause {
	if on.state != cluster.Up && !stays {
		return unhealthy(on)
	}
	return cause{}
}

func unhealthy(on *machine) cause { return cause{kind: notRunning, detail: string(on.state)} }

func (running) says(_ *world, why cause) (one, several string) {
	switch cluster.HealthState(why.detail) {
	case cluster.Failed:
		return "failed", "failed"
	case cluster.DaemonGone:
		return "has lost its daemon", "have lost their daemons"
	}
	return "is " + why.detail, "are " + why.detail
}

func (c running) leaves(w *world, why cause) string { return ofMachine(c.says(w, why)) }

// open: no operator has cordoned the machine, which keeps what it has then, or drained it.
type open struct{ indifferent }

func (open) admits(_ *world, on *machine, _ *parsed, stays bool) cause {
	if s := on.rec.Schedule; s == cluster.Drained || s != cluster.Schedulable && !stays {
		return cause{kind: notOpen, detail: string(s)}
	}
	return cause{}
}

func (open) says(_ *world, why cause) (one, several string) {
	return "is " + why.detail, "are " + why.detail
}

func (c open) leaves(w *world, why cause) string { return ofMachine(c.says(w, why)) }

// ofMachine is what a constraint says of one machine, as a sentence.
func ofMachine(one, _ string) string { return "machine " + one }
