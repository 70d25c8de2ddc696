package health

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/cluster"
	"fleettop/cluster/membership"
)

var (
	noon  = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	grace = 10 * time.Second
)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

func TestJudge(t *testing.T) {
	// up is a machine that is well; each case says what is different.
	up := evidence{recorded: true, registered: true, registeredAt: ago(time.Hour), storeKnown: true,
		firstSeen: ago(time.Hour), began: ago(time.Hour),
		gossip: membership.Alive, since: ago(time.Hour), lastSeen: noon, lastPacket: noon, clear: ago(time.Hour),
		gossipAddr: "198.18.1.2:7370", probeAddr: "198.18.1.2:7371"}
	failed := func(e *evidence) {
		e.gossip, e.since, e.lastSeen, e.lastPacket = membership.Failed, ago(100*time.Millisecond), ago(700*time.Millisecond), ago(700*time.Millisecond)
		e.clear = time.Time{}
	}
	silent := func(e *evidence) { failed(e); e.probe, e.silent = membership.Silent, 2 }
	away := func(e *evidence, d time.Duration) { e.since, e.lastSeen, e.lastPacket = ago(d), ago(d), ago(d) }
	tests := map[string]struct {
		was    cluster.HealthState
		change func(*evidence)
		want   cluster.HealthState
		text   string
		again  time.Duration // from now; 0 for never
	}{
		"well": {cluster.Up, func(*evidence) {}, cluster.Up, "answers", 0},
		"this one": {cluster.Up, func(e *evidence) {
			failed(e)
			e.self = true
		}, cluster.Up, "this machine", 0},
		"in doubt": {cluster.Up, func(e *evidence) {
			e.gossip, e.lastSeen = membership.Suspect, ago(400*time.Millisecond)
		}, cluster.Suspect, "no answer for 0.4 s", 0},
		"nobody saw anything in time, and then its kernel answered": {cluster.Suspect, func(e *evidence) {
			e.gossip, e.lastSeen, e.lastPacket = membership.Suspect, ago(400*time.Millisecond), ago(400*time.Millisecond)
			e.clearView, e.interval, e.answered = true, 100*time.Millisecond, ago(50*time.Millisecond)
			e.looked = &round{began: ago(200 * time.Millisecond), seen: []testimony{{"n1", membership.Silent},
				{"n2", membership.Silent}, {"n3", membership.Silent}}}
		}, cluster.Suspect, "no answer for 0.4 s", 0},
		"in doubt by another's word": {cluster.Up, func(e *evidence) {
			e.gossip = membership.Suspect
		}, cluster.Suspect, "another machine's gossip had no answer", 0},
		"its UDP port is blocked": {cluster.Up, func(e *evidence) { e.overTCP = ago(overTCPLasts) },
			cluster.Up, "its daemon answers: 7370/udp gets no answer, 7370/tcp does: a firewall?", 0},
		"a packet is lost": {cluster.Up, func(e *evidence) {
			e.overTCP = ago(time.Second)
		}, cluster.Up, "answers", overTCPLasts - time.Second},
		"recovered": {cluster.Suspect, func(*evidence) {}, cluster.Up, "answers", 0},

		"power lost": {cluster.Suspect, silent, cluster.Failed, "no answer for 0.7 s, probe timed out", 0},
		"power lost, and gossip gave it up before others told what they saw": {cluster.Suspect, func(e *evidence) {
			silent(e)
			e.lossy, e.clearView, e.interval = true, true, 100*time.Millisecond
			e.looked = &round{began: ago(400 * time.Millisecond), seen: []testimony{{"n1", membership.Silent},
				{"n2", membership.Silent}, {"n3", membership.Silent}}}
		}, cluster.Failed, "no answer for 0.7 s, probes by n1, n2 and n3 timed out", 0},
		"too few saw nothing to tell that it isn't them who are cut off": {cluster.Suspect, func(e *evidence) {
			e.gossip, e.lastSeen, e.lastPacket = membership.Suspect, ago(700*time.Millisecond), ago(700*time.Millisecond)
			e.clearView, e.interval = true, 100*time.Millisecond
			e.looked = &round{began: ago(400 * time.Millisecond), needed: 3, seen: []testimony{{"n1", membership.Silent},
				{"n2", membership.Silent}}}
		}, cluster.Suspect, "gossip had no answer for 0.7 s", 0},
		"nobody saw anything in time, and its kernel answers": {cluster.Suspect, func(e *evidence) {
			failed(e)
			e.clearView, e.interval, e.probe = true, 100*time.Millisecond, membership.Hung
			e.looked = &round{began: ago(400 * time.Millisecond), seen: []testimony{{"n1", membership.Silent},
				{"n2", membership.Silent}, {"n3", membership.Silent}}}
		}, cluster.DaemonGone, "the machine answers and its daemon hangs", grace - 100*time.Millisecond},
		"slow, suddenly": {cluster.Suspect, func(e *evidence) { silent(e); e.lastPacket = ago(100 * time.Millisecond) },
			cluster.Suspect, "packets of it arrive and its answers don't, for 0.7 s", 400 * time.Millisecond},
		"it sends and nothing reaches it": {cluster.Suspect, func(e *evidence) {
			silent(e)
			e.lastSeen, e.lastPacket = ago(2*time.Second), noon
		},
			cluster.Failed, "no answer for 2.0 s", 0},
		"its packets arrive and its session has ended": {cluster.Suspect, func(e *evidence) {
			silent(e)
			e.lastPacket, e.registered = noon, false
		},
			cluster.Failed, "no answer for 0.7 s", 0},
		"its packets arrive on a network that loses them": {cluster.Suspect, func(e *evidence) {
			silent(e)
			e.lastPacket, e.registered, e.lossy = noon, false, true
		},
			cluster.Suspect, "packets of it arrive and its answers don't, for 0.7 s", 500 * time.Millisecond},
		"silent on a network that loses packets": {cluster.Suspect, func(e *evidence) {
			silent(e)
			e.registered, e.lossy = false, true
		},
			cluster.Suspect, "neither gossip nor probes have an answer for 0.7 s, on a network that loses packets", lossySilence - 700*time.Millisecond},
		"silent for long on a network that loses packets": {cluster.Suspect, func(e *evidence) {
			silent(e)
			e.registered, e.lossy, e.lastSeen = false, true, ago(lossySilence)
		},
			cluster.Failed, "no answer for 3.5 s", 0},
		"silent for a moment, and its daemon hung before, on a network that loses packets": {cluster.DaemonGone, func(e *evidence) {
			silent(e)
			e.registered, e.lossy, e.lastSeen, e.answered = false, true, ago(lossySilence), ago(400*time.Millisecond)
		},
			cluster.Suspect, "neither gossip nor probes have an answer for 3.5 s, on a network that loses packets",
			lossySilence - 400*time.Millisecond},
		"silent for a moment, and its daemon hung before": {cluster.DaemonGone, func(e *evidence) {
			silent(e)
			e.registered, e.lastSeen, e.answered = false, ago(5*time.Second), ago(400*time.Millisecond)
		},
			cluster.Suspect, "its daemon has been silent for 5.0 s, and the machine for 0.4 s", hungSilence - 400*time.Millisecond},
		"gossip lost it long ago, and its daemon hangs since lately": {cluster.DaemonGone, func(e *evidence) {
			failed(e)
			e.since, e.probe, e.lastAnswer, e.answered = ago(grace), membership.Hung, ago(time.Second), noon
		}, cluster.DaemonGone, "the machine answers and its daemon hangs", grace - time.Second},
		"its daemon hung, and then it lost its power": {cluster.DaemonGone, func(e *evidence) {
			silent(e)
			e.registered, e.lastSeen, e.answered = false, ago(5*time.Second), ago(hungSilence)
		},
			cluster.Failed, "no answer for 5.0 s, probe timed out", 0},
		"nothing but its session": {cluster.Suspect, func(e *evidence) { silent(e); away(e, leaseProof) },
			cluster.Suspect, "neither gossip nor probes have an answer, and its session with the store is alive: 7370/udp, 7370/tcp and 7371/tcp get no answer: a firewall?", 0},
		"its session may be from before": {cluster.Suspect, func(e *evidence) { silent(e); away(e, leaseProof-1) },
			cluster.Failed, "no answer for 6.0 s", 0},
		"its session is a new one": {cluster.Suspect, func(e *evidence) {
			silent(e)
			away(e, time.Minute)
			e.registeredAt = ago(time.Second)
		},
			cluster.Failed, "no answer for 60.0 s", 0},
		"one probe lost": {cluster.Suspect, func(e *evidence) { failed(e); e.probe, e.silent = membership.Silent, 1 },
			cluster.Suspect, "no answer for 0.7 s", 9900 * time.Millisecond},
		"not probed yet": {cluster.Suspect, failed, cluster.Suspect, "no answer", 9900 * time.Millisecond},
		"cannot be probed": {cluster.Suspect, func(e *evidence) { failed(e); e.since, e.registered = ago(grace), false },
			cluster.Failed, "could not be probed", 0},
		"cannot be probed, and its session lives": {cluster.Suspect, func(e *evidence) { failed(e); e.since = ago(grace) },
			cluster.Suspect, "could not be probed, and its session", 0},
		"its kernel answered a moment ago": {cluster.Suspect, func(e *evidence) {
			failed(e)
			e.probe, e.silent, e.lastAnswer = membership.Silent, 2, ago(500*time.Millisecond)
		}, cluster.Failed, "no answer for 0.5 s", 0},
		"daemon crashed": {cluster.Suspect, func(e *evidence) { failed(e); e.probe = membership.Refused },
			cluster.DaemonGone, "refused", 9900 * time.Millisecond},
		"daemon hangs": {cluster.Suspect, func(e *evidence) { failed(e); e.probe = membership.Hung },
			cluster.DaemonGone, "hangs", 9900 * time.Millisecond},
		"daemon stayed away": {cluster.DaemonGone, func(e *evidence) {
			failed(e)
			e.probe, e.since, e.registered = membership.Refused, ago(grace), false
		},
			cluster.Failed, "away for 10.0 s", 0},
		"refused, and its session lives": {cluster.DaemonGone, func(e *evidence) {
			failed(e)
			away(e, grace)
			e.probe = membership.Refused
		},
			cluster.Suspect, "the probe was refused, and its session with the store is alive: 7370/udp, 7370/tcp and 7371/tcp get no answer", 0},
		"hung, and its session lives": {cluster.DaemonGone, func(e *evidence) {
			failed(e)
			away(e, grace)
			e.probe = membership.Hung
		},
			cluster.Suspect, "the probe hung, and its session", 0},
		"machine died while its daemon was gone": {cluster.DaemonGone, func(e *evidence) {
			failed(e)
			e.probe, e.silent = membership.Silent, 2
		},
			cluster.Failed, "probe timed out", 0},
		"gossip broken, all else well": {cluster.Suspect, func(e *evidence) {
			failed(e)
			e.probe, e.since = membership.Answered, ago(time.Hour)
		},
			cluster.Suspect, "answers probes, and its session with the store is alive: 7370/udp and tcp get no answer, 7371/tcp does: a firewall?", 0},
		"gossip can't follow its network": {cluster.Suspect, func(e *evidence) {
			failed(e)
			e.probe, e.roundTrip = membership.Answered, 600*time.Millisecond
		},
			cluster.Suspect, "session with the store is alive; its network is slow: probes take 0.6 s", 0},
		"slow and well": {cluster.Up, func(e *evidence) { e.roundTrip = 600 * time.Millisecond },
			cluster.Up, "its daemon answers; its network is slow: probes take 0.6 s", slowLook},
		"reached": {cluster.Suspect, func(e *evidence) { failed(e); e.probe = membership.Reached },
			cluster.Suspect, "its daemon not yet", 0},
		"gossip and store broken": {cluster.Suspect, func(e *evidence) {
			failed(e)
			e.probe, e.registered = membership.Answered, false
		},
			cluster.DaemonGone, "answers probes", 9900 * time.Millisecond},

		"restarting": {cluster.Up, func(e *evidence) {
			e.gossip, e.departure, e.departedSeen = membership.Left, cluster.Restarting, ago(4*time.Second)
		}, cluster.DaemonGone, "restarts", 6 * time.Second},
		"restarted for good": {cluster.DaemonGone, func(e *evidence) {
			e.departure, e.departedSeen = cluster.Restarting, ago(grace)
		},
			cluster.Failed, "did not come back", 0},
		"shut down with all others": {"", func(e *evidence) {
			e.departure, e.departedBefore, e.began = cluster.ShutDown, true, ago(time.Second)
		},
			cluster.Suspect, "a moment to come back with the others", 9 * time.Second},
		"shut down, and the others are back": {cluster.Suspect, func(e *evidence) {
			e.departure, e.departedBefore, e.began, e.gossip = cluster.ShutDown, true, ago(grace), membership.Left
		}, cluster.Down, "shuts down", 0},
		"shut down, and its new daemon can't tell that it is back": {cluster.Suspect, func(e *evidence) {
			e.departure, e.departedBefore, e.began, e.registered = cluster.ShutDown, true, ago(grace), false
		}, cluster.DaemonGone, "not connected", 0},
		"shut down": {cluster.Up, func(e *evidence) { e.departure = cluster.ShutDown }, cluster.Down, "shuts down", 0},
		"left":      {cluster.Up, func(e *evidence) { e.departure = cluster.Left }, cluster.Down, "left", 0},
		"left, mutely": {cluster.Up, func(e *evidence) {
			e.gossip, e.since = membership.Left, ago(time.Second)
		}, cluster.DaemonGone, "stopped", 9 * time.Second},
		"left, and without a record": {cluster.DaemonGone, func(e *evidence) {
			e.gossip, e.registered, e.recorded, e.since = membership.Left, false, false, ago(time.Minute)
		}, cluster.Down, "it left the cluster", 0},
		"left, mutely, and silent": {cluster.DaemonGone, func(e *evidence) {
			e.gossip, e.since, e.silent = membership.Left, ago(time.Second), 2
		},
			cluster.Failed, "nothing answers", 0},

		"cut off from the store": {cluster.Up, func(e *evidence) {
			e.registered = false
		}, cluster.DaemonGone, "not connected to the store", 0},
		"the store can't be seen": {cluster.Up, func(e *evidence) {
			e.registered, e.storeKnown = false, false
		}, cluster.Up, "answers", 0},
		"back, not registered": {cluster.Failed, func(e *evidence) {
			e.registered, e.clear = false, time.Time{}
		}, cluster.Failed, "answers again and is not connected", 0},
		"back": {cluster.Failed, func(*evidence) {}, cluster.Up, "answers", 0},
		"back after its first failure": {cluster.Failed, func(e *evidence) { e.failures, e.clear = 1, ago(time.Second) },
			cluster.Failed, "; it answers again, and counts as back after 2.0 s without a doubt (failure 1 since it booted)", time.Second},
		"back after its fourth": {cluster.Failed, func(e *evidence) {
			e.failures, e.clear = 4, noon
		}, cluster.Failed, "after 16.0 s", 16 * time.Second},
		"back after its tenth": {cluster.Failed, func(e *evidence) {
			e.failures, e.clear = 10, noon
		}, cluster.Failed, "after 60.0 s", time.Minute},
		"waited for long enough": {cluster.Failed, func(e *evidence) {
			e.failures, e.clear = 2, ago(4*time.Second)
		}, cluster.Up, "answers", 0},
		"failed, and has a session again": {cluster.Failed, func(e *evidence) {
			failed(e)
			away(e, time.Minute)
			e.failures, e.failedFor, e.registeredAt = 1, "so it was", ago(time.Second)
		},
			cluster.Failed, "so it was", leaseProof - time.Second},
		"failed, and its session has lasted": {cluster.Failed, func(e *evidence) {
			failed(e)
			away(e, time.Minute)
			e.failures, e.registeredAt = 1, ago(leaseProof)
		},
			cluster.Suspect, "could not be probed, and its session", 0},
		"failed often, and its session has lasted": {cluster.Failed, func(e *evidence) {
			failed(e)
			away(e, time.Minute)
			e.failures, e.registeredAt = 5, ago(leaseProof)
		},
			cluster.Failed, "no sign", 26 * time.Second},
		"booting after it went down": {cluster.Down, func(e *evidence) {
			e.gossip, e.clear = membership.Left, time.Time{}
		}, cluster.Down, "", 0},
		"failed, then the port opens": {cluster.Failed, func(e *evidence) {
			failed(e)
			e.probe, e.registered = membership.Refused, false
		}, cluster.Failed, "no sign of its daemon", 0},
		"never heard of, and connected to the store": {cluster.Suspect, func(e *evidence) {
			e.gossip, e.firstSeen, e.probe = "", ago(grace), membership.Answered
		},
			cluster.Suspect, "gossip doesn't hear it, and its session with the store is alive: 7370/udp and tcp get no answer, 7371/tcp does: a firewall?", 0},
		"never heard of": {"", func(e *evidence) { e.gossip, e.registered, e.firstSeen = "", false, ago(time.Second) },
			cluster.Suspect, "not heard of it yet", 9 * time.Second},
		"never heard of, for long": {cluster.Suspect, func(e *evidence) {
			e.gossip, e.registered, e.firstSeen = "", false, ago(grace)
		},
			cluster.Failed, "not heard of it for 10.0 s", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := up
			tt.change(&e)
			v := judge(e, tt.was, noon, grace)
			if v.state != tt.want || !strings.Contains(v.text, tt.text) {
				t.Errorf("got %+v, want %s with %q", v, tt.want, tt.text)
			}
			if want := noon.Add(tt.again); tt.again == 0 && !v.again.IsZero() || tt.again != 0 && !v.again.Equal(want) {
				t.Errorf("judged again at %s, want %s after noon", v.again, tt.again)
			}
			if h := v.health(e, cluster.Health{}, "", noon); h.State == cluster.Failed && h.SilentSince.IsZero() || !h.Since.Equal(noon) {
				t.Errorf("no last sign of life: %+v", h)
			}
		})
	}
}

// TestJudgeComesToAnEnd: a verdict that waits is another one when its time has come.
func TestJudgeComesToAnEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		back := func(what string) time.Time {
			return ago(time.Duration(rapid.IntRange(0, 20_000).Draw(t, what)) * time.Millisecond)
		}
		e := evidence{storeKnown: rapid.Bool().Draw(t, "store"), registered: rapid.Bool().Draw(t, "run"),
			departure: rapid.SampledFrom([]cluster.Departure{"", "", cluster.Restarting, cluster.ShutDown}).Draw(t, "departure"),
			gossip: rapid.SampledFrom([]membership.State{"", membership.Alive, membership.Suspect, membership.Failed,
				membership.Left}).Draw(t, "gossip"),
			probe: rapid.SampledFrom([]membership.Verdict{"", membership.Answered, membership.Refused, membership.Hung,
				membership.Silent}).Draw(t, "probe"),
			departedSeen: back("departed"), firstSeen: back("first"), since: back("since"), lastSeen: back("seen")}
		if e.probe == membership.Silent {
			e.silent = rapid.IntRange(1, 3).Draw(t, "silent")
		}
		was := rapid.SampledFrom([]cluster.HealthState{"", cluster.Up, cluster.Suspect, cluster.DaemonGone, cluster.Failed, cluster.Down}).Draw(t, "was")
		if rapid.Bool().Draw(t, "clear") {
			e.clear = back("clear")
		}
		e.failures, e.registeredAt, e.lastPacket, e.began = rapid.IntRange(0, 7).Draw(t, "failures"), back("registered"), back("packet"), back("began")
		v := judge(e, was, noon, grace)
		if v.state == "" || v.text == "" || v.why == "" {
			t.Fatalf("no verdict: %+v", v)
		}
		if was == cluster.Failed && v.state == cluster.Up && noon.Sub(e.clear) < backAfter(e.failures) {
			t.Fatalf("back too early: %+v", v)
		}
		for n := 0; !v.again.IsZero(); n++ {
			at := v.again
			if !at.After(noon) || at.Sub(noon) > max(grace, backMost) || n == 5 {
				t.Fatalf("judged again at %s", at)
			}
			// No new evidence comes, and still it comes to an end: at most by way of one more wait.
			if v = judge(e, v.state, at, grace); v.again.Equal(at) {
				t.Fatalf("it is judged for ever: %+v", v)
			}
		}
	})
}

// TestADeadMachineIsFoundAsFast: no session and no memory of an earlier life
// delays the verdict on a machine that fell silent all at once.
func TestADeadMachineIsFoundAsFast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		silentFor := time.Duration(rapid.IntRange(int(heardLately.Milliseconds()), 5999).Draw(t, "ms")) * time.Millisecond
		e := evidence{storeKnown: true, registered: rapid.Bool().Draw(t, "session"), registeredAt: ago(time.Hour), firstSeen: ago(time.Hour),
			gossip: membership.Failed, since: noon, lastSeen: ago(silentFor), lastPacket: ago(silentFor), probe: membership.Silent, silent: 2,
			failures: rapid.IntRange(0, 9).Draw(t, "failures")}
		was := rapid.SampledFrom([]cluster.HealthState{cluster.Up, cluster.Suspect, cluster.DaemonGone}).Draw(t, "was")
		if v := judge(e, was, noon, grace); v.state != cluster.Failed {
			t.Fatalf("silent for %s: %+v", silentFor, v)
		}
	})
}

// TestAbsences steps one machine through gossip that comes and goes.
func TestAbsences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a absences
		now, was, failures, clear := noon, cluster.Up, 0, time.Time{}
		for range 200 {
			now = now.Add(time.Duration(rapid.IntRange(10, 3000).Draw(t, "ms")) * time.Millisecond)
			e := evidence{storeKnown: true, registered: true, registeredAt: ago(time.Hour), firstSeen: ago(time.Hour), boot: "b",
				gossip: rapid.SampledFrom([]membership.State{membership.Alive, membership.Alive, membership.Failed}).Draw(t, "gossip")}
			if e.gossip == membership.Failed {
				e.probe, e.silent, e.lastSeen, clear = membership.Silent, 2, now.Add(-time.Second), time.Time{}
			} else if clear.IsZero() {
				clear = now
			}
			a.before(&e, now)
			v := judge(e, was, now, grace)
			a.after(was, v, e, now)
			if v.state == cluster.Failed && was != cluster.Failed {
				failures++
			}
			if was == cluster.Failed && v.state == cluster.Up && now.Sub(clear) < backAfter(failures) {
				t.Fatalf("back %s after its last doubt, though it failed %d times", now.Sub(clear), failures)
			}
			was = v.state
		}
	})
}

// A daemon that was cut off takes the others for dead. When it reaches the store
// again, those that it hears and that have a session are up at once: it may lead them.
func TestWhatWasFailedWithoutTheStore(t *testing.T) {
	for name, c := range map[string]struct {
		storeKnown bool
		want       cluster.HealthState
	}{"with the store": {true, cluster.Failed}, "without": {false, cluster.Up}} {
		var a absences
		e := evidence{gossip: membership.Alive, registered: true, storeKnown: true, boot: "1"}
		a.before(&e, noon)
		a.after(cluster.Up, verdict{state: cluster.Failed, text: "no answer"}, evidence{storeKnown: c.storeKnown}, noon)
		a.before(&e, noon.Add(time.Second))
		if v := judge(e, cluster.Failed, noon.Add(time.Second), grace); v.state != c.want {
			t.Errorf("failed %s: then %s: %s", name, v.state, v.text)
		}
	}
}

func TestCensus(t *testing.T) {
	type seen struct {
		after time.Duration
		set   map[string]cluster.HealthState
		drain string
		hold  bool
	}
	up, failed, down := cluster.Up, cluster.Failed, cluster.Down
	tests := map[string][]seen{
		"one of three":             {{0, map[string]cluster.HealthState{"n2": failed}, "", false}},
		"two of three":             {{0, map[string]cluster.HealthState{"n2": failed, "n3": failed}, "", true}},
		"one after the other":      {{0, map[string]cluster.HealthState{"n2": failed}, "", false}, {4 * time.Second, map[string]cluster.HealthState{"n3": failed}, "", true}},
		"much later":               {{0, map[string]cluster.HealthState{"n2": failed}, "", false}, {6 * time.Second, map[string]cluster.HealthState{"n3": failed}, "", false}},
		"goodbyes":                 {{0, map[string]cluster.HealthState{"n2": down, "n3": down}, "", false}},
		"it stays":                 {{0, map[string]cluster.HealthState{"n2": failed, "n3": failed}, "", true}, {time.Hour, nil, "", true}},
		"released by all back":     {{0, map[string]cluster.HealthState{"n2": failed, "n3": failed}, "", true}, {time.Hour, map[string]cluster.HealthState{"n2": up, "n3": up}, "", false}},
		"one back, one missing":    {{0, map[string]cluster.HealthState{"n2": failed, "n3": failed}, "", true}, {time.Hour, map[string]cluster.HealthState{"n2": up}, "", true}, {grace - 1, nil, "", true}, {1, nil, "", false}},
		"one back, then the other": {{0, map[string]cluster.HealthState{"n2": failed, "n3": failed}, "", true}, {time.Hour, map[string]cluster.HealthState{"n2": up}, "", true}, {time.Second, map[string]cluster.HealthState{"n3": up}, "", false}},
		"one back and gone again":  {{0, map[string]cluster.HealthState{"n2": failed, "n3": failed}, "", true}, {time.Hour, map[string]cluster.HealthState{"n2": up}, "", true}, {time.Second, map[string]cluster.HealthState{"n2": failed}, "", true}, {time.Hour, nil, "", true}},
		"released by drains":       {{0, map[string]cluster.HealthState{"n2": failed, "n3": failed}, "", true}, {time.Hour, nil, "n2", true}, {time.Second, nil, "n3", false}},
		"then the last one fails":  {{0, map[string]cluster.HealthState{"n2": failed, "n3": failed}, "", true}, {time.Hour, map[string]cluster.HealthState{"n2": up}, "", true}, {grace, nil, "", false}, {time.Hour, nil, "", false}},
		"the first alone":          {{0, map[string]cluster.HealthState{"n1": failed}, "", false}},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			var c census
			now := noon
			health := map[string]cluster.Health{}
			machines := map[string]cluster.Machine{}
			for _, id := range []string{"n1", "n2", "n3"} {
				health[id], machines[id] = cluster.Health{State: up}, cluster.Machine{ID: id}
			}
			if hold, _ := c.count(now, grace, health, machines, nil, nil); hold != "" {
				t.Fatal("held from the start")
			}
			for k, s := range steps {
				now = now.Add(s.after)
				for id, state := range s.set {
					health[id] = cluster.Health{State: state}
				}
				if s.drain != "" {
					machines[s.drain] = cluster.Machine{ID: s.drain, Schedule: cluster.Drained}
				}
				if why, _ := c.count(now, grace, health, machines, nil, nil); (why != "") != s.hold {
					t.Errorf("step %d: hold %q", k, why)
				}
			}
		})
	}
}

// TestHalf: of four, two that vanish are held while a session of theirs may be
// alive, and while gossip doesn't hear two whose sessions are.
func TestHalf(t *testing.T) {
	var c census
	health, machines, sessions := map[string]cluster.Health{}, map[string]cluster.Machine{}, map[string]cluster.Run{}
	for _, id := range []string{"n1", "n2", "n3", "n4"} {
		health[id], machines[id], sessions[id] = cluster.Health{State: cluster.Up}, cluster.Machine{ID: id}, cluster.Run{}
	}
	count := func(after time.Duration, deaf ...string) string {
		set := map[string]bool{}
		for _, id := range deaf {
			set[id] = true
		}
		hold, again := c.count(noon.Add(after), grace, health, machines, set, sessions)
		if !again.IsZero() && !again.After(noon.Add(after)) {
			t.Fatalf("it is counted again at once, without a pause, %s after the beginning", after)
		}
		return hold
	}
	if hold := count(0); hold != "" {
		t.Fatal("held from the start")
	}
	if hold := count(0, "n3"); hold != "" {
		t.Errorf("held for one that isn't heard: %s", hold)
	}
	if hold := count(0, "n3", "n4"); !strings.Contains(hold, "gossip doesn't hear 2 of 4 machines, whose sessions with the store are alive") {
		t.Errorf("hold %q", hold)
	}
	health["n3"], health["n4"] = cluster.Health{State: cluster.Failed}, cluster.Health{State: cluster.Failed}
	if hold := count(time.Second); !strings.Contains(hold, "given up when their sessions") {
		t.Errorf("hold %q", hold)
	}
	delete(sessions, "n3")
	if hold := count(2 * time.Second); hold == "" {
		t.Error("n4 may still live")
	}
	delete(sessions, "n4")
	if hold := count(4 * time.Second); hold != "" {
		t.Errorf("both are dead: %s", hold)
	}
	sessions["n4"] = cluster.Run{}
	count(time.Second + holdWindow)
}

// TestJudgedAgainLater: whatever is known of a machine, the next judgement is later than this one.
func TestJudgedAgainLater(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 2))
	moment := func() time.Time { return noon.Add(-time.Duration(rng.IntN(80)) * 250 * time.Millisecond) }
	flip := func() bool { return rng.IntN(2) == 0 }
	states := []cluster.HealthState{"", cluster.Up, cluster.Suspect, cluster.DaemonGone, cluster.Failed, cluster.Down}
	gossip := []membership.State{"", membership.Alive, membership.Suspect, membership.Failed, membership.Left}
	probes := []membership.Verdict{"", membership.Silent, membership.Reached, membership.Answered, membership.Refused,
		membership.Hung}
	departures := []cluster.Departure{cluster.NotDeparted, cluster.ShutDown, cluster.Left, cluster.Restarting}
	for range 100_000 {
		e := evidence{registered: flip(), storeKnown: flip(), registeredAt: moment(), recorded: flip(),
			departure: departures[rng.IntN(len(departures))], departedSeen: moment(), departedBefore: flip(),
			firstSeen: moment(), began: moment(), gossip: gossip[rng.IntN(len(gossip))], since: moment(),
			lastSeen: moment(), lastPacket: moment(), probe: probes[rng.IntN(len(probes))], silent: rng.IntN(4),
			lastAnswer: moment(), lossy: flip(), interval: 100 * time.Millisecond, unheard: flip(), witnessed: flip(),
			others: rng.IntN(2), failures: rng.IntN(4), failedFor: "no answer"}
		if flip() {
			e.overTCP = moment()
		}
		if flip() {
			e.clear = moment()
		}
		was := states[rng.IntN(len(states))]
		if v := judge(e, was, noon, grace); !v.again.IsZero() && !v.again.After(noon) {
			t.Fatalf("judged %s (%q), again %s ago, of %+v", v.state, v.text, noon.Sub(v.again), e)
		}
	}
}

func TestGathering(t *testing.T) {
	machines := map[string]cluster.Machine{"n1": {}, "n2": {}, "n3": {Schedule: cluster.Drained}, "n4": {Departure: cluster.Left}, "n5": {}}
	up := map[string]bool{"n1": true}
	end := noon.Add(grace)
	if until, missing := gathering(end, noon, machines, up); !until.Equal(end) || !slices.Equal(missing, []string{"n2", "n5"}) {
		t.Errorf("until %s for %q", until, missing)
	}
	up["n2"], up["n5"] = true, true
	if until, missing := gathering(end, noon, machines, up); !until.IsZero() || missing != nil {
		t.Errorf("until %s for %q", until, missing)
	}
	if until, _ := gathering(end, end, machines, nil); !until.IsZero() {
		t.Error("it waits for ever")
	}
}
