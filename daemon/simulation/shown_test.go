//go:build !race

package simulation

import (
	"reflect"
	"strings"
	"time"
)

// marked is how soon a machine that lost the store must say so.
const marked = 1500 * time.Millisecond

// shows checks what a machine that lost the store shows by its API: what the store
// had last, marked as old since then, and of machines what it sees itself, said so.
func (a *auditor) shows(m *machine) {
	s, d := a.sim, m.showing.Load()
	away, lost := s.without(m)
	if d == nil || !m.awake() || away < marked || d.began.After(lost.at) {
		return
	}
	snap, live, asOf, _ := d.view.LastKnown()
	switch {
	case snap == nil:
		return // it never saw the store
	case live:
		s.fail("%s has been without the store for %s, and takes what it shows for current", m.name(), away)
		return
	case asOf.IsZero() || asOf.After(lost.at.Add(marked)):
		s.fail("%s lost the store %s ago, and shows a state as of %s ago", m.name(), away, time.Since(asOf))
		return
	case snap.Revision > lost.snap.Revision:
		s.fail("%s shows revision %d, and the store was at %d when it lost it", m.name(), snap.Revision, lost.snap.Revision)
		return
	}
	if a.compared[m.n] == lost.at { // once each time that it lost the store
		return
	}
	a.compared[m.n] = lost.at
	if snap.Revision == lost.snap.Revision && (!reflect.DeepEqual(snap.Assignments, lost.snap.Assignments) ||
		!reflect.DeepEqual(snap.Units, lost.snap.Units) || !reflect.DeepEqual(snap.Verdicts, lost.snap.Verdicts)) {
		s.fail("%s shows another state than the store had at revision %d", m.name(), snap.Revision)
	}
	for id, h := range d.shown.Of(snap, live) {
		own := h.By == m.id && strings.HasPrefix(h.Evidence, "as "+snap.Label(m.id)+" sees it: ")
		if !own && id != m.id && h != snap.Verdicts[id] && h.By != "" {
			s.fail("%s shows %s as %q by %s: %q, which is neither its own view, said so, nor the store's last", m.name(),
				a.machine(id).name(), h.State, h.By, h.Evidence)
		}
	}
}
