package health

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
)

// unheld fails the test if a machine is ever given up while nothing is held, until the test ends.
func (w *watched) unheld() {
	go func() {
		for {
			changed := w.tracker.Changed()
			for id, h := range w.tracker.State().Health {
				if h.State == cluster.Failed && w.tracker.State().Hold == "" {
					w.t.Errorf("%s failed (%s), and nothing is held", id, h.Evidence)
				}
			}
			select {
			case <-changed:
			case <-w.t.Context().Done():
				return
			}
		}
	}()
}

// TestManyThatVanishAreGivenUpTogether: gossip gives up the first of three of five
// machines before it doubts the others. The first waits for what becomes of them.
func TestManyThatVanishAreGivenUpTogether(t *testing.T) {
	for name, c := range map[string]struct {
		others membership.Verdict // what the probes of machines that gossip still hears find
		then   func(w *watched)
		held   bool
	}{
		"three of five": {membership.Silent, func(w *watched) {
			for _, id := range []string{"d", "e"} {
				if h := w.tracker.Health()["c"]; h.State != cluster.Suspect || !strings.Contains(h.Evidence, "isn't given up yet") {
					t.Errorf("before %s is given up, too: %+v", id, h)
				}
				w.hear(id, membership.Suspect)
				time.Sleep(300 * time.Millisecond)
				w.hear(id, membership.Failed)
			}
			w.hear("b", membership.Alive) // a packet of it
		}, true},
		"the others are well": {membership.Answered, func(*watched) {}, false},
		"the others only seemed gone": {membership.Silent, func(w *watched) {
			w.hear("b", membership.Alive)
			w.hear("d", membership.Alive)
			w.hear("e", membership.Alive)
		}, false},
		"nothing is known of the rest": {membership.Silent, func(*watched) { time.Sleep(holdWindow) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := watch(t, time.Minute, "a", "b", "c", "d", "e")
				time.Sleep(time.Second)
				w.answer.Store(membership.Silent)
				w.third.Store(c.others)
				if c.held {
					w.unheld()
				}
				began := time.Now()
				w.hear("c", membership.Suspect)
				time.Sleep(400 * time.Millisecond)
				w.hear("c", membership.Failed)
				time.Sleep(100 * time.Millisecond)
				c.then(w)
				h := w.until("c", cluster.Failed)
				if held := w.tracker.State().Hold != ""; held != c.held {
					t.Errorf("held: %v, expected %v", held, c.held)
				}
				t.Logf("given up after %v: %s", h.Since.Sub(began), h.Evidence)
			})
		})
	}
}
