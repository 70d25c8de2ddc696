package overview

import (
	"cmp"
	"slices"

	"fleettop/tui/screens"
	"fleettop/tui/state"
)

// plan is what is shown where.
type plan struct {
	machines []*state.Machine
	hidden   int // machines there is no room for
	looks    section
	moved    section
	rows     []*state.Row // of both sections, as they are shown
	cols     int
	cards    bool  // boxes; else a line each
	extra    []int // lines of units, by line of cards
	across   []int // units beside each other in a card, by line of cards
	events   int
}

// section is a list of units with a heading.
type section struct {
	rows []*state.Row
	more int // rows there is no room for
}

// lines are those of a section: its heading, its rows, and what says that there are more.
func (s section) lines() int {
	n := len(s.rows)
	if s.more > 0 {
		n++
	}
	if n > 0 {
		n++
	}
	return n
}

// cut makes a section of rows that has so many lines at most, without its heading.
func cut(rows []*state.Row, most int) section {
	if len(rows) <= most {
		return section{rows: rows}
	}
	shown := max(0, most-1)
	return section{rows: rows[:shown], more: len(rows) - shown}
}

const (
	cardLeast  = 26
	cardLines  = 5  // with its borders, without units
	cardAge    = 6  // columns of a unit's age in a card, with the gap before it
	unitLeast  = 28 // columns of a unit in a card, where several are beside each other
	eventLeast = 5
)

// layout plans the screen. Machines keep their places; only where there is no
// room for all, those in trouble come first.
func (s *Screen) layout(env *screens.Env) {
	p := plan{}
	for _, m := range env.Snap.Machines {
		if env.Filter.Empty() || m.Matches(env.Filter) {
			p.machines = append(p.machines, m)
		}
	}
	n := len(p.machines)
	least := eventLeast
	if s.height < 14 {
		least = 3
	}
	bad, moved := s.needing(env)
	p.looks = cut(bad, max(2, s.height/3))
	p.moved = cut(moved, max(2, s.height/3-len(p.looks.rows)))
	if s.height < 14 && len(bad) > 0 && len(moved) > 0 {
		p.moved = section{} // the timeline says it, and the units do
	}
	p.rows = append(p.looks.rows[:len(p.looks.rows):len(p.looks.rows)], p.moved.rows...)
	left := s.height - p.looks.lines() - p.moved.lines()
	p.cols = s.columns(env, n, least)
	lines := (n + p.cols - 1) / p.cols
	if p.cards = n > 0 && lines*cardLines+least <= left; p.cards {
		left -= s.stretch(env, &p, lines, left-least)
	} else {
		fit := max(1, min(n, left-least))
		if fit < n {
			p.machines = worstFirst(p.machines)
			p.hidden = n - fit + 1
			p.machines = p.machines[:max(0, fit-1)]
		}
		p.cols = 1
		left -= min(n, fit)
	}
	p.events = max(0, left-1)
	s.plan = p
	s.anchor()
}

// columns is how many cards stand beside each other: as many as there is room
// for, but fewer and wider ones where names would be cut and the height allows
// it. It goes by what a failover doesn't change, so that cards stay in place.
func (s *Screen) columns(env *screens.Env, n, least int) int {
	most := max(1, min(s.width/cardLeast, n))
	if n == 0 {
		return most
	}
	longest := 0
	for _, r := range env.Snap.Rows {
		longest = max(longest, len(r.Unit)-len(".service"))
	}
	units := (len(env.Snap.Rows)+n-1)/n + 2 // of a machine, and some that come
	room := s.height - least - 2            // what needs a look takes its lines from the units
	for cols := most; cols > 0; cols-- {
		lines := (n + cols - 1) / cols
		if lines*(cardLines+units) > room {
			return most
		}
		if s.width/cols-5 >= 2+longest+cardAge {
			return cols
		}
	}
	return most
}

// stretch shares lines among the cards, so that all their units are shown if
// that can be, and returns how many lines the cards take.
func (s *Screen) stretch(env *screens.Env, p *plan, lines, room int) int {
	inner := s.width/p.cols - 5
	p.extra, p.across = make([]int, lines), make([]int, lines)
	need := make([]int, lines)
	for i, m := range p.machines {
		need[i/p.cols] = max(need[i/p.cols], unitLines(m, env.Now))
	}
	spare, used := room-lines*cardLines, lines*cardLines
	// Those that need the least first: what they leave is for the others.
	order := make([]int, lines)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(need[a], need[b]) })
	for at, i := range order {
		extra := max(0, min(need[i], spare/(lines-at)))
		p.across[i] = 1
		if extra > 0 && extra < need[i] {
			p.across[i] = max(1, min(inner/unitLeast, (need[i]+extra-1)/extra))
			extra = min(extra, (need[i]+p.across[i]-1)/p.across[i])
		}
		p.extra[i] = extra
		spare, used = spare-extra, used+extra
	}
	return used
}

func worstFirst(list []*state.Machine) []*state.Machine {
	out := make([]*state.Machine, 0, len(list))
	for mood := state.Bad; ; mood-- {
		for _, m := range list {
			worst := m.Mood
			if m.Bad > 0 && worst < state.Busy {
				worst = state.Busy
			}
			if worst == mood {
				out = append(out, m)
			}
		}
		if mood == state.Idle {
			return out
		}
	}
}

// needing are the rows that an operator should look at, those on their way
// first, and the ones that moved not long ago and are well again.
func (s *Screen) needing(env *screens.Env) (look, moved []*state.Row) {
	var bad []*state.Row
	for _, r := range env.Snap.Rows {
		switch {
		case r.Mood != state.Bad && r.Move == nil:
		case !env.Filter.Empty() && !r.Matches(env.Filter):
		case r.Move.Fresh(env.Now) && r.Move.Running():
			look = append(look, r)
		case r.Mood == state.Bad:
			bad = append(bad, r)
		case r.Move.Fresh(env.Now):
			moved = append(moved, r)
		}
	}
	return append(look, bad...), moved
}

// inTrouble are rows with those first that are in trouble.
func inTrouble(rows []*state.Row, bad int) []*state.Row {
	if bad == 0 {
		return rows
	}
	out := slices.Clone(rows)
	slices.SortStableFunc(out, func(a, b *state.Row) int {
		return cmp.Compare(rank(a), rank(b))
	})
	return out
}

func rank(r *state.Row) int {
	if r.Mood == state.Bad {
		return 0
	}
	return 1
}
