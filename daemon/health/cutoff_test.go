package health

import (
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
)

// judgedIn waits for verdicts that were made in a session of this machine's.
func (w *watched) judgedIn(session int) State {
	w.t.Helper()
	timeout := time.After(deadline)
	for {
		changed := w.tracker.Changed()
		if s := w.tracker.State(); s.Session == session {
			return s
		}
		select {
		case <-changed:
		case <-timeout:
			w.t.Fatalf("judged in session %d, want %d", w.tracker.State().Session, session)
		}
	}
}

// A machine that was cut off and comes back takes no one for dead by what it saw
// before, while they have their sessions: the whole time, as gossip may heal later.
func TestBackAtTheStoreLooksAnew(t *testing.T) {
	for name, session := range map[string]int{"with another session": 2, "with the session it had": 1} {
		t.Run(name, func(t *testing.T) {
			w := watch(t, time.Minute, "self", "b", "c", "victim")
			w.cutOff(false, "self", 1)
			w.judgedIn(1)
			w.answer.Store(membership.Silent)
			w.everyone(membership.Silent)
			w.cutOff(true, "self", 1)
			for _, id := range []string{"b", "c", "victim"} {
				w.hear(id, membership.Failed)
			}
			for _, id := range []string{"b", "c", "victim"} {
				w.until(id, cluster.Failed)
			}
			w.cutOff(false, "self", session)
			s := w.judgedIn(session)
			for _, id := range []string{"b", "c", "victim"} {
				if h := s.Health[id]; h.State != cluster.Suspect {
					t.Errorf("back at the store: %s is %+v", id, h)
				}
			}
			w.hear("b", membership.Alive) // a witness that was cut off, too
			w.until("b", cluster.Up)
			w.looked("victim")
			if h := w.tracker.Health()["victim"]; h.State != cluster.Suspect || !strings.Contains(h.Evidence, "back at the store") {
				t.Errorf("as two machines that were cut off see it: %+v", h)
			}
			w.store(cluster.Change{Runs: map[string]*cluster.Run{"victim": nil}})
			w.until("victim", cluster.Failed)
			w.hear("c", membership.Alive)
			w.until("c", cluster.Up)
		})
	}
}

// Where the store was away because the machine died that led it, its death is
// known by the time the store is back: the others that look see nothing either,
// and it is that machine alone that isn't heard.
func TestTheStoreWasAwayWithADeadMachine(t *testing.T) {
	w := watch(t, time.Minute, "self", "b", "c", "victim")
	w.cutOff(false, "self", 1)
	w.judgedIn(1)
	w.answer.Store(membership.Silent)
	w.everyone(membership.Silent)
	w.cutOff(true, "self", 1)
	w.hear("victim", membership.Suspect)
	w.until("victim", cluster.Failed)
	w.hear("victim", membership.Failed)
	w.cutOff(false, "self", 1)
	if h := w.judgedIn(1).Health["victim"]; h.State != cluster.Failed {
		t.Errorf("when the store is back: %+v", h)
	}
}
