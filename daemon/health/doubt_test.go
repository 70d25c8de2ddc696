package health

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
)

const testInterval = 50 * time.Millisecond

// Another machine's word is enough to look: what then gives no sign of life is
// failed, and stays so until it gives one.
func TestDoubtOfAnotherConvicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, time.Minute, "self", "b", "c", "victim")
		w.answer.Store(membership.Silent)
		w.everyone(membership.Silent)
		time.Sleep(time.Second) // it gave its last sign of life a while ago
		began := time.Now()
		w.tracker.Doubt("victim")
		h := w.until("victim", cluster.Failed)
		if !strings.Contains(h.Evidence, "probes by self, b and c timed out") {
			t.Errorf("evidence: %s", h.Evidence)
		}
		if took := h.Since.Sub(began); took > 2*testInterval {
			t.Errorf("a look took %s", took)
		}
		still := func(when string) {
			t.Helper()
			w.hear("b", membership.Alive) // anything that has it judged again
			time.Sleep(time.Second)
			if h := w.tracker.Health()["victim"]; h.State != cluster.Failed || !h.BackAt.IsZero() {
				t.Errorf("%s: %+v", when, h)
			}
		}
		still("at once")
		time.Sleep(doubtLasts)
		w.hint("victim", time.Now())
		still("since this machine's gossip misses its answers, too")
		w.hint("victim", time.Time{})
		w.hear("victim", membership.Alive)
		w.until("victim", cluster.Up)
	})
}

// A machine that answers is left alone at once, and no other machine is asked.
func TestDoubtOfAnotherIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, time.Minute, "self", "b", "c", "victim")
		for range 3 {
			probes := w.probes.Load()
			w.tracker.Doubt("victim")
			time.Sleep(time.Second)
			if n := w.probes.Load() - probes; n == 0 || n > 8 {
				t.Errorf("%d probes", n)
			}
		}
		if n := w.asked.Load(); n > 0 {
			t.Errorf("%d questions to other machines", n)
		}
		if h := w.tracker.Health()["victim"]; h.State != cluster.Up {
			t.Errorf("%+v", h)
		}
	})
}

// What isn't a machine, this one itself, and doubts on a machine that doesn't decide say nothing.
func TestDoubtsThatSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, time.Minute, "self", "b", "victim")
		w.answer.Store(membership.Silent)
		w.everyone(membership.Silent)
		w.tracker.Doubt("stranger")
		w.tracker.Doubt("self")
		w.decides.Store(false)
		w.tracker.Doubt("victim")
		time.Sleep(time.Second)
		if n := w.probes.Load(); n > 0 {
			t.Errorf("%d probes", n)
		}
	})
}

// A doubt that nothing comes of ends.
func TestDoubtOfAnotherEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, time.Minute, "self", "b", "victim")
		w.answer.Store(membership.Silent)
		w.everyone(membership.Unknown)
		w.tracker.Doubt("victim")
		time.Sleep(doubtLasts + time.Second)
		probes := w.probes.Load()
		time.Sleep(time.Second)
		if n := w.probes.Load() - probes; n > 0 {
			t.Errorf("%d probes after it", n)
		}
	})
}

// A machine that misses an answer tells those that decide, once; one that misses
// those of many keeps it to itself.
func TestDoubtIsTold(t *testing.T) {
	voter := func(id string, seat cluster.Seat) cluster.Change {
		return cluster.Change{Machines: map[string]*cluster.Machine{id: {ID: id, ProbeAddress: id + ":1", Seat: seat}}}
	}
	heard := func(w *watched) (all []string) {
		time.Sleep(time.Second)
		for len(w.told) > 0 {
			all = append(all, <-w.told)
		}
		slices.Sort(all)
		return all
	}
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, time.Minute, "self", "b", "c", "d", "e", "victim")
		w.hint("victim", time.Now())
		if got := heard(w); !slices.Equal(got, []string{"b:1 victim", "c:1 victim", "d:1 victim", "e:1 victim"}) {
			t.Errorf("without voters: %q", got)
		}
		w.hint("victim", time.Time{})
		w.hear("victim", membership.Alive)
		heard(w)
		for id, seat := range map[string]cluster.Seat{"self": cluster.Voter, "b": cluster.Voter, "victim": cluster.Voter,
			"c": cluster.Learner} {
			w.store(voter(id, seat))
		}
		w.decides.Store(false)
		w.hint("victim", time.Now())
		w.hear("e", membership.Alive)
		if got := heard(w); !slices.Equal(got, []string{"b:1 victim"}) {
			t.Errorf("with voters: %q", got)
		}
		w.hint("victim", time.Time{})
		for _, id := range []string{"b", "c", "d", "victim"} {
			w.hear(id, membership.Alive)
		}
		heard(w)
		w.mu.Lock()
		for _, id := range []string{"b", "c", "d"} {
			m := w.members[id]
			m.Unanswered = time.Now()
			w.members[id] = m
		}
		w.mu.Unlock()
		w.hear("e", membership.Alive)
		if got := heard(w); len(got) > 0 {
			t.Errorf("in doubt of many: %q", got)
		}
	})
}

// A machine that looks says silent only of one that gave it no sign of life for
// three intervals, however soon it is asked.
func TestLookWaitsForSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, time.Minute, "self", "b", "c", "victim")
		w.answer.Store(membership.Silent)
		looks := func() time.Duration {
			began := time.Now()
			if saw := w.tracker.Look(t.Context(), "victim"); saw != membership.Silent {
				t.Errorf("saw %s", saw)
			}
			return time.Since(began).Round(time.Millisecond)
		}
		w.hear("victim", membership.Alive) // a sign of life
		if took := looks(); took != silentIntervals*testInterval {
			t.Errorf("a look at one just heard took %s", took)
		}
		time.Sleep(time.Second)
		if took := looks(); took != 3*testInterval/2 {
			t.Errorf("a look at one unheard for long took %s", took)
		}
	})
}
