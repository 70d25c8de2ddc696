package schedule

import "fleettop/cluster"

// settle places every unit that may stay where it was given, whatever the
// machines' health, and lists the rest as pending. Of two that exclude each
// other the one that was there first stays.
func (w *world) settle() {
	for i := range w.units {
		if u := &w.units[i]; u.wanted && u.global() {
			u.on, u.off = map[int32]int{}, map[int32]cause{}
			w.globals = append(w.globals, int32(i))
		}
	}
	standing := w.standingOrder()
	for _, i := range standing {
		u := &w.units[i]
		if u.global() {
			w.settleGlobal(i, u)
			continue
		}
		m := w.byID[u.given[0].Machine]
		if u.outOf = w.mustLeave(u, m); u.outOf.kind == fits {
			w.add(i, m)
		}
	}
	w.settleTies(standing)
	for i := range w.units {
		u := &w.units[i]
		if u.wanted && u.parsed.once && len(u.given) > 0 && !u.done() {
			w.once = append(w.once, int32(i))
		}
		switch {
		case !u.wanted:
		case u.global():
			for _, k := range u.on {
				if u.given[k].Generation != u.rec.Generation {
					w.outdated = append(w.outdated, int32(i))
					break
				}
			}
		case u.at < 0:
			w.pending = append(w.pending, int32(i))
		case u.given[0].Generation != u.rec.Generation:
			w.outdated = append(w.outdated, int32(i))
		}
	}
}

func (w *world) settleGlobal(i int32, u *unit) {
	for _, a := range u.given {
		m := w.byID[a.Machine]
		if why := w.mustLeave(u, m); why.kind != fits {
			u.off[m] = why
		} else {
			w.add(i, m)
		}
	}
}

// settleTies takes away units whose replacer or whose MachineOf target says
// so, until what is left agrees.
func (w *world) settleTies(standing []int32) {
	for _, i := range standing {
		u := &w.units[i]
		for _, r := range u.replacers {
			if u.at >= 0 && w.units[r].at == u.at {
				u.outOf = cause{kind: replaced, unit: r}
				w.remove(i, u.at)
			}
		}
	}
	for again := true; again; {
		again = false
		for _, i := range standing {
			u := &w.units[i]
			if u.at < 0 {
				continue
			}
			for _, t := range u.targets {
				if !w.hosts(u.at, t) {
					u.outOf = cause{kind: apart, unit: t}
					w.remove(i, u.at)
					again = true
					break
				}
			}
		}
	}
}

// mustLeave tells why a unit can't stay on a machine it was given to.
func (w *world) mustLeave(u *unit, m int32) cause {
	switch on := &w.machines[m]; {
	case !on.known:
		return cause{kind: unknown}
	case on.rec.Schedule == cluster.Drained:
		return cause{kind: closed, detail: string(cluster.Drained)}
	case u.parsed.err != "":
		return cause{} // what runs is not stopped for a file that can't be read
	default:
		if why := on.lacks(&u.parsed); why.kind != fits {
			return why
		}
	}
	if w.blocked(u, m) {
		return cause{kind: conflicting, unit: w.rival(u, m)}
	}
	return cause{}
}

// blocked tells whether a unit placed on a machine conflicts with another, either way.
func (w *world) blocked(u *unit, m int32) bool {
	for _, p := range u.conflicts {
		if p.matched[m] > 0 {
			return true
		}
	}
	for _, p := range u.matching {
		if p.owners[m] > 0 {
			return true
		}
	}
	return false
}

// rival returns the first unit on a machine that a unit conflicts with, or -1.
func (w *world) rival(u *unit, m int32) int32 {
	first := int32(-1)
	for _, i := range w.machines[m].residents {
		if o := &w.units[i]; o != u && (first < 0 || i < first) && conflict(u, o) {
			first = i
		}
	}
	return first
}
