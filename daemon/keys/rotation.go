package keys

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Patience is how long a rotation waits for machines that are off, before the
// old key is dropped without them.
const Patience = 24 * time.Hour

// Holder is a machine and the keys it works with.
type Holder struct {
	Name string
	Live bool
	IDs  []string // of the keys it works with, the primary's first
}

// Phase is how far a rotation has come.
type Phase string

// Phases.
const (
	Settled   Phase = ""          // one key
	Spreading Phase = "spreading" // the new key goes to all machines; the old one is used
	Retiring  Phase = "retiring"  // the new key is used; the old one is accepted
)

// PhaseOf tells how far the rotation of a ring has come.
func PhaseOf(ids []string, newest string) Phase {
	switch {
	case len(ids) < 2:
		return Settled
	case ids[0] == newest:
		return Retiring
	}
	return Spreading
}

// Step is what comes next in a rotation.
type Step struct {
	Next Ring     // the ring to agree on; empty if there is nothing to do yet
	Wait []string // the machines that are waited for
	Left []string // the machines that were not waited for any more
	Text string   // what happens, for people
}

// NextStep decides how a rotation goes on: the new key is used once every
// machine that lives has it, and the old one dropped once every machine uses
// the new one, those that are off included, or after Patience, or when told to
// finish. Machines that don't live are never waited for longer than that: they
// need the line of join-command.
func NextStep(r Ring, newest string, since time.Time, holders []Holder, now time.Time, finish bool) Step {
	phase := PhaseOf(r.IDs(), newest)
	if phase == Settled {
		return Step{}
	}
	var live, off []string
	for _, h := range holders {
		switch {
		case slices.Equal(h.IDs, r.IDs()):
		case h.Live:
			live = append(live, h.Name)
		default:
			off = append(off, h.Name)
		}
	}
	slices.Sort(live)
	slices.Sort(off)
	switch old := r.keys[1]; {
	case len(live) > 0:
		return Step{Wait: live}
	case phase == Spreading:
		return Step{Next: NewRing(old, r.keys[0]), Text: fmt.Sprintf("key %s is used from now on; key %s is still accepted",
			old.ID(), r.keys[0].ID())}
	case len(off) > 0 && !finish && now.Sub(since) < Patience:
		return Step{Wait: off}
	default:
		text := fmt.Sprintf("key %s is accepted no more", old.ID())
		if len(off) > 0 {
			text += "; these machines were off and need the line of `fleettop join-command`: " + strings.Join(off, ", ")
		}
		return Step{Next: NewRing(r.keys[0]), Left: off, Text: text}
	}
}
