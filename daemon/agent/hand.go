package agent

import (
	"fmt"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// What is done to a unit on its machine without the cluster (systemctl stop,
// start, restart, reset-failed, edit, mask) is left as it is until the unit's next
// verb, or its next machine, and is shown: the agent carries out what is asked
// of the cluster, once. Only the unit files that the manager wrote are put right.

// noticeHands keeps what was done to units by hand in their notes, which
// outlive the daemon, for as long as they are as the hand left them.
func (a *Agent) noticeHands(held map[string]units.Status) {
	for name, h := range held {
		n, noted := a.notes[name]
		if !noted || a.flights[name] != nil {
			continue
		}
		hand := n.ByHand
		if h.ByHand != "" {
			hand = h.ByHand
		}
		if !hand.Stands(h) {
			hand = ""
		}
		if hand != n.ByHand {
			n.ByHand = hand
			a.notes[name], a.notesDirty = n, true
		}
	}
}

// tellHands puts on the timeline what has just been done by hand to units that
// are assigned, or that were when that was last known.
func (a *Agent) tellHands(before, after map[string]units.Status) {
	for name, now := range after {
		was, known := before[name]
		w, ours := a.want[name]
		hash := w.Hash
		if n, noted := a.notes[name]; noted && a.want == nil {
			hash, ours = n.Hash, true
		}
		if !known || !ours {
			continue
		}
		for _, text := range handTexts(was, now, hash, a.cfg.Name) {
			a.reporter.tell(cluster.Event{Kind: cluster.EventUnit, Machine: a.cfg.Machine, Unit: name, Time: time.Now(),
				Text: name + " " + text})
		}
	}
}

// handTexts says how a unit was changed by hand between two of its statuses.
func handTexts(was, now units.Status, hash, machine string) (texts []string) {
	if now.ByHand != "" && (now.ByHand != was.ByHand || !now.HandAt.Equal(was.HandAt)) {
		text := fmt.Sprintf("was %s by hand on %s", now.ByHand, machine)
		if now.ByHand == units.HandReset {
			text = fmt.Sprintf("had failed, which was reset by hand on %s", machine)
		}
		texts = append(texts, text)
	}
	if was.Hash == hash && now.Hash == "" {
		texts = append(texts, fmt.Sprintf("had its file changed or taken away by hand on %s; it is written again", machine))
	}
	switch {
	case now.Altered == was.Altered:
	case now.Altered == "":
		texts = append(texts, fmt.Sprintf("is no longer %s on %s", was.Altered, machine))
	default:
		texts = append(texts, fmt.Sprintf("is %s on %s", now.Altered, machine))
	}
	return texts
}
