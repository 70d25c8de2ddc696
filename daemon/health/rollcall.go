package health

import (
	"context"
	"fmt"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
	"fleettop/units/wording"
)

// rollEvery is between roll calls while a machine is in doubt.
const rollEvery = 400 * time.Millisecond

// presence is what a machine's probe in a roll call found.
type presence struct {
	id     string
	at     time.Time
	silent bool
}

// callRoll probes every machine that gossip hears, while another one is in doubt,
// and returns when to do so again. Gossip asks one machine after the other: when
// the first of several that vanished at once is given up, it may not know of the
// others yet, and the units of the first would move before a hold can begin.
func (t *Tracker) callRoll(ctx context.Context, all map[string]evidence, now time.Time) (again time.Time) {
	if len(t.suspects) == 0 || !t.cfg.Decides() {
		clear(t.missed)
		return time.Time{}
	}
	if due := t.rolled.Add(rollEvery); now.Before(due) {
		return due
	}
	t.rolled = now
	for id, e := range all {
		if e.self || e.gossip != membership.Alive || e.probeAddr == "" || t.suspects[id] != nil {
			continue
		}
		t.probing.Go(func() {
			patience := membership.Patience{Allowed: allowedLeast, Late: time.Second}
			t.cfg.Probe(ctx, e.probeAddr, id, patience, func(v membership.Verdict) {
				if v == membership.Unknown {
					return
				}
				select {
				case t.present <- presence{id, time.Now(), v == membership.Silent}:
				case <-ctx.Done():
				}
			})
		})
	}
	return now.Add(rollEvery)
}

// notePresence takes note of a probe in a roll call, and reports whether that is news.
func (t *Tracker) notePresence(p presence) bool {
	_, was := t.missed[p.id]
	if p.silent {
		t.missed[p.id] = p.at
	} else {
		delete(t.missed, p.id)
	}
	return p.silent || was
}

// postpone takes back the verdicts on machines that were just found dead, as long
// as so many others are in doubt that half of the machines may have vanished at
// once: then all are given up together, and that is a reason to hold. It doesn't
// wait for longer than machines count as vanished at once.
func (t *Tracker) postpone(found map[string]verdict, all map[string]evidence, now time.Time) {
	if t.State().Hold != "" {
		return
	}
	var dead []string
	total, fallen, doubted := 0, 0, 0
	for id, v := range found {
		m, known := t.machines[id]
		e, ran := all[id], t.State().Health[id].State.Runs()
		_, fell := t.census.fell[id]
		recent := now.Sub(e.silence()) < holdWindow
		switch {
		case !known || m.Schedule == cluster.Drained || !v.state.Runs() && !ran && !fell:
			continue
		case v.state == cluster.Failed && ran && recent:
			dead = append(dead, id)
		case v.state == cluster.Failed && fell:
			fallen++
		case recent && !v.deaf && v.state.Runs() && e.probe == membership.Silent,
			recent && !v.deaf && v.state == cluster.Suspect && e.probe == "", t.unseen(id, e):
			doubted++
		}
		total++
	}
	if total < holdLeast || len(dead) == 0 || doubted == 0 || 2*(len(dead)+fallen+doubted) < total {
		return
	}
	others := wording.Count(len(dead)+fallen+doubted-1, "other machine")
	for _, id := range dead {
		v := because(cluster.Suspect, now.Add(rollEvery/4),
			"%s; it isn't given up yet, as it isn't known whether %s vanished with it", found[id].text, others)
		v.why = fmt.Sprint("postponed for ", others)
		found[id] = v
	}
}

// unseen reports whether a machine missed a roll call and gave no sign of life since.
func (t *Tracker) unseen(id string, e evidence) bool {
	at, missed := t.missed[id]
	return missed && !e.silence().After(at) && !e.lastPacket.After(at)
}
