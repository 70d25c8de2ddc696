package health

import (
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
)

// everyone says that all others see the same.
func (w *watched) everyone(saw membership.Verdict) {
	w.others.Store(func(string) membership.Verdict { return saw })
}

// looked waits until this machine and others have looked at a suspect twice.
func (w *watched) looked(id string) {
	w.t.Helper()
	probes := w.probes.Load() // as many as two looks send at the least
	for end := time.Now().Add(deadline); w.probes.Load() < probes+16; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%s isn't probed", id)
		}
	}
}

// A machine that is alone in being silent is failed while gossip still doubts,
// where all who are asked have no answer.
func TestUnanimousSilenceConvicts(t *testing.T) {
	w := watch(t, time.Minute, "self", "b", "c", "victim")
	w.answer.Store(membership.Silent)
	w.everyone(membership.Silent)
	w.hear("victim", membership.Suspect)
	h := w.until("victim", cluster.Failed)
	if !strings.Contains(h.Evidence, "probes by self, b and c timed out") && !strings.Contains(h.Evidence, "probes by self, c and b timed out") {
		t.Errorf("evidence: %s", h.Evidence)
	}
	if silent := h.Since.Sub(h.SilentSince); silent < silentIntervals*50*time.Millisecond {
		t.Errorf("failed after %s of silence", silent)
	}
}

// The first answer that doesn't come in time has the machines look, before
// gossip doubts; and what they convict stays failed while gossip is about to.
func TestHintConvicts(t *testing.T) {
	w := watch(t, time.Minute, "self", "b", "c", "victim")
	w.answer.Store(membership.Silent)
	w.everyone(membership.Silent)
	w.hint("victim", time.Now())
	h := w.until("victim", cluster.Failed)
	w.hear("b", membership.Alive) // anything that has it judged again
	if h = w.tracker.Health()["victim"]; h.State != cluster.Failed || !h.BackAt.IsZero() {
		t.Errorf("without a sign of life: %+v", h)
	}
	w.hint("victim", time.Time{}) // a sign of life
	w.until("victim", cluster.Failed)
	w.hint("victim", time.Now()) // a packet that is lost is no new doubt
	for h = w.tracker.Health()["victim"]; h.BackAt.IsZero(); h = w.tracker.Health()["victim"] {
		if time.Since(h.Since) > deadline {
			t.Fatalf("it never comes back: %+v", h)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A lost packet is no doubt where the machine answers those who look.
func TestHintAcquits(t *testing.T) {
	w := watch(t, time.Minute, "self", "b", "victim")
	w.everyone(membership.Answered)
	w.hint("victim", time.Now())
	w.looked("victim")
	if h := w.tracker.Health()["victim"]; h.State != cluster.Up {
		t.Errorf("%+v", h)
	}
}

// hint says since when gossip has had no answer.
func (w *watched) hint(id string, since time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.members[id]
	m.Unanswered = since
	w.members[id] = m
	close(w.gossip)
	w.gossip = make(chan struct{})
}

// Where anyone isn't sure, or saw the machine, it is left to gossip.
func TestNoHastyVerdict(t *testing.T) {
	type others = func(string) membership.Verdict
	all := func(saw membership.Verdict) others { return func(string) membership.Verdict { return saw } }
	for name, test := range map[string]struct {
		others others
		change func(*watched)
	}{
		"a witness has an answer": {func(by string) membership.Verdict {
			if by == "b" || by == "d" {
				return membership.Answered
			}
			return membership.Silent
		}, nil},
		"a witness has its kernel's answer": {all(membership.Refused), nil},
		"a witness has packets of it":       {all(membership.Heard), nil},
		"the witnesses don't know":          {all(membership.Unknown), nil},
		"this machine has no answer of others": {all(membership.Silent), func(w *watched) {
			w.third.Store(membership.Silent)
		}},
		"others are in doubt": {all(membership.Silent), func(w *watched) {
			w.hear("b", membership.Suspect)
			w.hear("c", membership.Suspect)
		}},
		"it has had no answer in time for long": {all(membership.Silent), func(w *watched) {
			w.mu.Lock()
			defer w.mu.Unlock()
			m := w.members["victim"]
			m.LastAck = m.LastAck.Add(-time.Minute)
			w.members["victim"] = m
		}},
		"packets of it arrive": {all(membership.Silent), func(w *watched) {
			w.mu.Lock()
			defer w.mu.Unlock()
			m := w.members["victim"]
			m.LastPacket = time.Now().Add(time.Hour)
			w.members["victim"] = m
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := watch(t, time.Minute, "self", "b", "c", "d", "e", "victim")
			w.answer.Store(membership.Silent)
			w.others.Store(test.others)
			if test.change != nil {
				test.change(w)
			}
			w.hear("victim", membership.Suspect)
			w.until("victim", cluster.Suspect)
			w.looked("victim")
			if h := w.tracker.Health()["victim"]; h.State != cluster.Suspect {
				t.Errorf("%s: %s", h.State, h.Evidence)
			}
		})
	}
}

// A machine that this one has no answer of, and another one has, isn't dead.
func TestAnotherMachineAcquits(t *testing.T) {
	for saw, want := range map[membership.Verdict]cluster.HealthState{
		membership.Answered: cluster.Suspect, membership.Reached: cluster.Suspect,
		membership.Refused: cluster.DaemonGone, membership.Hung: cluster.DaemonGone,
		membership.Unknown: cluster.Failed,
		membership.Heard:   cluster.Failed, // it sends and nothing reaches it
	} {
		t.Run(string(saw), func(t *testing.T) {
			t.Parallel()
			w := watch(t, time.Minute, "self", "b", "victim")
			w.answer.Store(membership.Silent)
			w.everyone(saw)
			w.hear("victim", membership.Suspect)
			w.looked("victim")
			w.hear("victim", membership.Failed)
			h := w.until("victim", want)
			for end := time.Now().Add(deadline); want != cluster.Failed && !strings.Contains(h.Evidence, " b"); h = w.tracker.Health()["victim"] {
				if time.Now().After(end) {
					t.Fatalf("evidence: %s", h.Evidence)
				}
				time.Sleep(10 * time.Millisecond)
			}
			if h.State != want {
				t.Errorf("%s: %s, want %s", h.State, h.Evidence, want)
			}
		})
	}
}

// A look ends at the first sign of life, and says nothing where this machine is no witness.
func TestLook(t *testing.T) {
	w := watch(t, time.Minute, "self", "b", "victim")
	w.everyone(membership.Refused)
	w.hear("victim", membership.Suspect)
	for _, saw := range []membership.Verdict{membership.Refused, membership.Hung, membership.Silent, membership.Unknown} {
		w.answer.Store(saw)
		if got := w.tracker.Look(t.Context(), "victim"); got != saw {
			t.Errorf("%s, want %s", got, saw)
		}
	}
	w.answer.Store(membership.Answered)
	if got := w.tracker.Look(t.Context(), "victim"); got != membership.Reached && got != membership.Answered {
		t.Errorf("it answers: %s", got)
	}
	if got := w.tracker.Look(t.Context(), "stranger"); got != membership.Unknown {
		t.Errorf("a machine it doesn't know: %s", got)
	}
	w.answer.Store(membership.Silent)
	w.mu.Lock()
	m := w.members["victim"]
	m.LastPacket = time.Now().Add(time.Hour)
	w.members["victim"] = m
	w.mu.Unlock()
	if got := w.tracker.Look(t.Context(), "victim"); got != membership.Heard {
		t.Errorf("packets of it arrive: %s", got)
	}
	w.third.Store(membership.Silent)
	if got := w.tracker.Look(t.Context(), "victim"); got != membership.Unknown {
		t.Errorf("without an answer of a third machine: %s", got)
	}
}

// What this machine's own look has an answer of isn't dead because the probes
// beside it were lost.
func TestOwnLookAcquits(t *testing.T) {
	for saw, convicts := range map[membership.Verdict]bool{membership.Reached: false, membership.Answered: false,
		membership.Refused: false, membership.Heard: true, membership.Silent: true, membership.Unknown: true} {
		s := &suspect{verdict: membership.Silent, silent: silentProbes}
		tracker := New(Config{Self: "self"}, nil, nil)
		tracker.suspects["victim"] = s
		tracker.takeRound(round{id: "victim", of: s, began: time.Now(), ended: time.Now(), seen: []testimony{{"self", saw}}})
		e := evidence{gossip: membership.Failed, since: time.Now().Add(-time.Second), probe: s.verdict, silent: s.silent,
			looked: s.looked, lastSeen: time.Now().Add(-5 * time.Second)}
		if v := lost(e, time.Now(), time.Minute); (v.state == cluster.Failed) != convicts {
			t.Errorf("%s: %s: %s", saw, v.state, v.text)
		}
	}
}
