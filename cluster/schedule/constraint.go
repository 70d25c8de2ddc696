package schedule

import (
	"slices"
	"strings"
)

// constraint is one rule about which machines a unit may run on. Each
// constraint is a type in a file of its own, which has its conditions and its
// messages, and a line in constraints. It embeds unconstrained, which has a
// neutral answer to each question.
type constraint interface {
	// writeClass writes what a unit requires of a machine itself. It writes the
	// same for units with the same requirements, and nothing for a unit without any.
	writeClass(b *strings.Builder, p *parsed)
	// admits returns why a machine, whatever runs on it, doesn't take a unit with
	// requirements, or doesn't keep one that stays. A constraint on the machine's
	// state is called for all units, with a nil parsed.
	admits(w *world, on *machine, p *parsed, stays bool) cause

	// link resolves the names in the units of a new world.
	link(w *world)
	// concerns reports whether the place of a unit depends on other units. The
	// methods below, except evictStanding, are called only if it does.
	concerns(u *unit) bool
	// count updates counters when a unit came to a machine (by is 1) or left it (-1).
	count(u *unit, m, by int32)
	// filter returns, in order, the machines where other units allow a unit,
	// supposing that the units in with are there too.
	filter(p *plan, u *unit, able, with []int32) []int32
	// excludes returns why the units on a machine keep another unit out.
	excludes(w *world, u *unit, m int32) cause
	// keeps returns why a unit can't stay on a machine beside units that take precedence.
	keeps(w *world, u *unit, m int32) cause
	// evictStanding takes units from the machines of a new world that can't stay
	// there because of the units that do.
	evictStanding(w *world, standing []int32)
	// incompatible reports whether two units can't be placed on one machine together.
	incompatible(w *world, i, j int32) bool
	// writePeers writes what decides about other units. It writes the same for
	// units that the same machines take, and returns false for a unit that shares
	// its answer with no other.
	writePeers(b *strings.Builder, u *unit) bool

	// describe words a cause for one machine ("lacks ssd=true") and for several ("lack ssd=true").
	describe(w *world, c cause) (one, several string)
	// describeLeaving words why a unit left a machine, after "moved from n3: ";
	// empty if describe's wording fits.
	describeLeaving(w *world, c cause) string
	// whyUnplaced words why a unit is on no machine, if this constraint alone
	// decides that; empty otherwise.
	whyUnplaced(w *world, u *unit) string
}

// constraints are all constraints, by the kind of their causes. They are checked
// and reported in this order.
var constraints = [...]constraint{
	// The machine's state, whatever the unit.
	unregistered: registered{},
	notRunning:   running{},
	notOpen:      open{},
	// The machine itself.
	otherID:  machineID{},
	lacking:  metadata{},
	unfenced: fenced{},
	// The machine that has the unit by a file of its host.
	elsewhere: handover{},
	// The units on the machine.
	apart:       machineOf{},
	conflicting: conflicts{},
	replaced:    replaces{},
	// What became of it on the machine.
	failed: notFailed{},
}

type causeKind uint8

const (
	fits causeKind = iota
	unregistered
	notRunning
	notOpen
	otherID
	lacking
	unfenced
	elsewhere
	apart
	conflicting
	replaced
	failed
)

var (
	all    = constraints[fits+1:]
	states = constraints[fits+1 : otherID]
)

// unconstrained is a constraint that allows every unit on every machine.
type unconstrained struct{}

func (unconstrained) writeClass(*strings.Builder, *parsed)             {}
func (unconstrained) admits(*world, *machine, *parsed, bool) cause     { return cause{} }
func (unconstrained) link(*world)                                      {}
func (unconstrained) concerns(*unit) bool                              { return false }
func (unconstrained) count(*unit, int32, int32)                        {}
func (unconstrained) filter(_ *plan, _ *unit, able, _ []int32) []int32 { return able }
func (unconstrained) excludes(*world, *unit, int32) cause              { return cause{} }
func (unconstrained) keeps(*world, *unit, int32) cause                 { return cause{} }
func (unconstrained) evictStanding(*world, []int32)                    {}
func (unconstrained) incompatible(*world, int32, int32) bool           { return false }
func (unconstrained) writePeers(*strings.Builder, *unit) bool          { return true }
func (unconstrained) describeLeaving(*world, cause) string             { return "" }
func (unconstrained) whyUnplaced(*world, *unit) string                 { return "" }

// cause is why a machine doesn't take or keep a unit. The zero cause means that it does.
type cause struct {
	kind   causeKind
	detail string
	unit   int32 // the other unit, where there is one; -1 where it isn't known
}

// class is the machines that take new units with the same requirements of a
// machine itself, in order, and why the other machines don't.
type class struct {
	able   []int32
	causes map[cause]int
}

func (w *world) classOf(p *parsed) *class {
	if c, ok := w.classes[p.class]; ok {
		return c
	}
	c := &class{causes: map[cause]int{}}
	for i := range w.machines {
		if why := w.refuses(int32(i), p); why.kind == fits {
			c.able = append(c.able, int32(i))
		} else {
			c.causes[why]++
		}
	}
	w.classes[p.class] = c
	return c
}

// closed returns why a machine in its state takes no new units, or keeps none.
func (w *world) closed(on *machine, stays bool) cause {
	for _, c := range states {
		if why := c.admits(w, on, nil, stays); why.kind != fits {
			return why
		}
	}
	return cause{}
}

// lacks returns which requirement a machine itself doesn't meet, for a new unit or one that stays.
func (w *world) lacks(on *machine, p *parsed, stays bool) cause {
	for _, c := range p.asks {
		if why := c.admits(w, on, p, stays); why.kind != fits {
			return why
		}
	}
	return cause{}
}

// refuses returns why a machine takes no new unit with these requirements, other units aside.
func (w *world) refuses(m int32, p *parsed) cause {
	on := &w.machines[m]
	if on.closed.kind != fits || len(p.asks) == 0 {
		return on.closed
	}
	return w.lacks(on, p, false)
}

// mustLeave returns why a unit can't stay on a machine it was given to.
func (w *world) mustLeave(u *unit, m int32) cause {
	on := &w.machines[m]
	if u.rec.ChangesHands() {
		return cause{}
	}
	if why := w.closed(on, true); why.kind != fits {
		return why
	}
	if u.parsed.err != "" {
		return cause{} // what runs is not stopped for a file that can't be read
	}
	if why := w.lacks(on, &u.parsed, true); why.kind != fits {
		return why
	}
	for _, c := range u.bound {
		if why := c.keeps(w, u, m); why.kind != fits {
			return why
		}
	}
	return cause{}
}

// verdict returns why a machine wouldn't take a unit that is on no machine.
func (w *world) verdict(u *unit, m int32) cause {
	if why := w.refuses(m, &u.parsed); why.kind != fits {
		return why
	}
	return w.excluded(u, m)
}

// excluded returns why the units on a machine keep another out.
func (w *world) excluded(u *unit, m int32) cause {
	for _, c := range u.bound {
		if why := c.excludes(w, u, m); why.kind != fits {
			return why
		}
	}
	return cause{}
}

// able returns the machines that take a unit, in order, supposing that the
// units in with are there too. The slice is valid until the next call.
func (p *plan) able(i int32, with []int32) []int32 {
	u := &p.units[i]
	if u.parsed.err != "" {
		return nil
	}
	able := p.classOf(&u.parsed).able
	for _, c := range u.bound {
		able = c.filter(p, u, able, with)
	}
	return able
}

// keep returns the machines that pass, in a buffer that the next call reuses.
func (p *plan) keep(machines []int32, pass func(m int32) bool) []int32 {
	kept := p.scratch[:0]
	for _, m := range machines {
		if pass(m) {
			kept = append(kept, m)
		}
	}
	p.scratch = kept
	return kept
}

// incompatible reports whether two units can't be placed on one machine together.
func (w *world) incompatible(i, j int32) bool {
	pair := func(c constraint) bool { return c.incompatible(w, i, j) }
	return slices.ContainsFunc(w.units[i].bound, pair) || slices.ContainsFunc(w.units[j].bound, pair)
}

// peerKey is equal for units that the same machines take: if none takes the
// first, none takes the others. It is empty for a unit that shares its answer with no other.
func (u *unit) peerKey() string {
	var b strings.Builder
	b.WriteString("\x04" + u.parsed.class)
	for _, c := range u.bound {
		if !c.writePeers(&b, u) {
			return ""
		}
	}
	return b.String()
}
