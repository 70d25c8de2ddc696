package schedule

import (
	"slices"
	"strings"
)

// constraint is one rule about the machines that a unit may be on. Each is a
// type in a file of its own: what it asks, how it is said to people, and
// nothing elsewhere but its line in constraints. It embeds indifferent, which
// answers the questions that don't concern it.
type constraint interface {
	// class writes what a unit asks of a machine by itself: the same for units
	// that ask the same, and nothing for one that asks nothing.
	class(b *strings.Builder, p *parsed)
	// admits returns why a machine by itself, whatever is on it, doesn't take a
	// unit that asks something, or doesn't keep one that stays. A constraint on
	// the machine's state is asked for all units, with a nil parsed.
	admits(w *world, on *machine, p *parsed, stays bool) cause

	// link ties the units of a new world to those that they name.
	link(w *world)
	// concerns reports whether other units matter to where a unit may be. The
	// methods below, but for settle, are called for such units only.
	concerns(u *unit) bool
	// count follows a unit that came to a machine (by is 1) or left it (-1).
	count(u *unit, m, by int32)
	// filter returns those of the machines, in order, on which other units let
	// a unit be, supposing that the units in with are there too.
	filter(p *plan, u *unit, able, with []int32) []int32
	// excludes returns why the units on a machine don't let another be there.
	excludes(w *world, u *unit, m int32) cause
	// keeps returns why a unit can't stay with the units of a machine that have precedence over it.
	keeps(w *world, u *unit, m int32) cause
	// settle takes units away from where they stand, in a new world, that
	// must go because of others that stay.
	settle(w *world, standing []int32)
	// parts reports whether two units can't be placed on one machine together.
	parts(w *world, i, j int32) bool
	// room writes what decides about other units: the same for units that the
	// same machines take. It returns false where that is a question of the unit itself.
	room(b *strings.Builder, u *unit) bool

	// says returns a cause as said of one machine ("lacks ssd=true") and of several ("lack ssd=true").
	says(w *world, c cause) (one, several string)
	// leaves says why a unit left a machine, after "moved from n3: "; empty where says does.
	leaves(w *world, c cause) string
	// unplaced says why a unit is on no machine, where this constraint alone decides that; empty otherwise.
	unplaced(w *world, u *unit) string
}

// constraints are all there are, by the kind of their causes. Machines are asked
// and people hear of them in this order.
var constraints = [...]constraint{
	// The state that a machine is in, whatever the unit.
	unregistered: registered{},
	notRunning:   running{},
	notOpen:      open{},
	// What it is by itself.
	otherID: machineID{},
	lacking: metadata{},
	// What is on it.
	apart:       machineOf{},
	conflicting: conflicts{},
	replaced:    replaces{},
}

type causeKind uint8

const (
	fits causeKind = iota
	unregistered
	notRunning
	notOpen
	otherID
	lacking
	apart
	conflicting
	replaced
)

var (
	all    = constraints[fits+1:]
	states = constraints[fits+1 : otherID]
)

// indifferent is a constraint that lets every unit be on every machine.
type indifferent struct{}

func (indifferent) class(*strings.Builder, *parsed)                  {}
func (indifferent) admits(*world, *machine, *parsed, bool) cause     { return cause{} }
func (indifferent) link(*world)                                      {}
func (indifferent) concerns(*unit) bool                              { return false }
func (indifferent) count(*unit, int32, int32)                        {}
func (indifferent) filter(_ *plan, _ *unit, able, _ []int32) []int32 { return able }
func (indifferent) excludes(*world, *unit, int32) cause              { return cause{} }
func (indifferent) keeps(*world, *unit, int32) cause                 { return cause{} }
func (indifferent) settle(*world, []int32)                           {}
func (indifferent) parts(*world, int32, int32) bool                  { return false }
func (indifferent) room(*strings.Builder, *unit) bool                { return true }
func (indifferent) leaves(*world, cause) string                      { return "" }
func (indifferent) unplaced(*world, *unit) string                    { return "" }

// cause is why a machine doesn't take or keep a unit; its zero value means that it does.
type cause struct {
	kind   causeKind
	detail string
	unit   int32 // the other unit, where there is one; -1 where it isn't known
}

// class is the machines that new units which ask the same of a machine by
// itself may go to, in order, and what keeps the others out.
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

// closed returns why the state that a machine is in keeps new units out, or keeps those that stay no longer.
func (w *world) closed(on *machine, stays bool) cause {
	for _, c := range states {
		if why := c.admits(w, on, nil, stays); why.kind != fits {
			return why
		}
	}
	return cause{}
}

// lacks returns which demand on the machine itself it doesn't meet, for a new unit or one that stays.
func (w *world) lacks(on *machine, p *parsed, stays bool) cause {
	for _, c := range p.asks {
		if why := c.admits(w, on, p, stays); why.kind != fits {
			return why
		}
	}
	return cause{}
}

// refuses returns why a machine takes no new unit that asks this, other units aside.
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

// verdict returns why a machine wouldn't take a unit that is on none.
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
// units in with are there too. The slice is good until the next call.
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

// keep returns the machines that pass, in a buffer that the next call overwrites.
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

// parted reports whether two units can't be placed on one machine together.
func (w *world) parted(i, j int32) bool {
	parts := func(c constraint) bool { return c.parts(w, i, j) }
	return slices.ContainsFunc(w.units[i].bound, parts) || slices.ContainsFunc(w.units[j].bound, parts)
}

// room is the same for units that the same machines take: where one found
// none, nor will the next. It is empty where that is a question of the unit itself.
func (u *unit) room() string {
	var b strings.Builder
	b.WriteString("\x04" + u.parsed.class)
	for _, c := range u.bound {
		if !c.room(&b, u) {
			return ""
		}
	}
	return b.String()
}
