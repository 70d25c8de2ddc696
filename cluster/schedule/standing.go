package schedule

import "slices"

// placeStanding places every unit that may stay on the machine it was given to,
// whatever the machine's health, and lists the others as pending. Of two units
// that exclude each other the one that was there first stays.
func (w *world) placeStanding() {
	for i := range w.units {
		if u := &w.units[i]; u.wanted && u.global() {
			u.on, u.off = map[int32]int{}, map[int32]cause{}
			w.globals = append(w.globals, int32(i))
		}
	}
	standing := w.standingOrder()
	for _, i := range standing {
		u := &w.units[i]
		if u.rec.ChangesHands() {
			w.handing = append(w.handing, i)
		}
		if u.global() {
			w.placeStandingGlobal(i, u)
			continue
		}
		m := w.byID[u.given[0].Machine]
		if u.outOf = w.mustLeave(u, m); u.outOf.kind == fits {
			w.add(i, m)
		}
	}
	for _, c := range slices.Backward(all) { // the followers of a replaced unit leave with it
		c.evictStanding(w, standing)
	}
	w.keepHandedOver()
	for i := range w.units {
		u := &w.units[i]
		if u.wanted && u.parsed.once && len(u.given) > 0 && !u.done() {
			w.once = append(w.once, int32(i))
		}
		if u.wanted && !u.global() && len(u.given) > 0 {
			w.placeMoving(int32(i), u)
		}
		if u.wanted && u.retries() {
			w.retrying, u.tries = append(w.retrying, int32(i)), u.given[0].Tries
		}
		switch {
		case !u.wanted:
		case u.global():
			for _, k := range u.on {
				if u.given[k].Generation != u.rec.Generation {
					w.rolling = true
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

func (w *world) placeStandingGlobal(i int32, u *unit) {
	for _, a := range u.given {
		m := w.byID[a.Machine]
		if why := w.mustLeave(u, m); why.kind != fits {
			u.off[m] = why
		} else {
			w.add(i, m)
		}
	}
}
