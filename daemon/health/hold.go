package health

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"fleettop/cluster"
)

const (
	// holdWindow is how close together machines must vanish to have vanished at once.
	holdWindow = 5 * time.Second
	// holdLeast is the size of cluster from which a majority can be counted.
	holdLeast = 3
)

// census counts machines that vanish. Its zero value is ready.
type census struct {
	runs map[string]bool      // who was taken to run when last counted
	fell map[string]time.Time // who failed without a word, and when
	held bool
	calm time.Time // since when enough are back, while others are waited for
}

// count takes new verdicts and tells why to hold, if so, and when to
// count again if no new verdict comes before that (zero for never). A hold
// begins when more than half of the machines failed within holdWindow, and ends
// when all of them are back, or drained or removed by an operator; and the
// grace after enough of them are, as those who were cut off together don't
// come back at the very same moment. Machines that said goodbye don't count.
//
// Half of the machines are held only while one of them may still have a
// session, as a dead one can't keep it; and half that gossip doesn't hear though
// their sessions live (deaf) are a sign that it is this side that is in trouble.
func (c *census) count(now time.Time, grace time.Duration, health map[string]cluster.Health,
	machines map[string]cluster.Machine, deaf map[string]bool, sessions map[string]cluster.Run) (hold string,
	again time.Time) {
	fell, runs := map[string]time.Time{}, map[string]bool{}
	counts := func(at time.Time, ok bool) bool { return ok && (c.held || now.Before(at.Add(holdWindow))) }
	for id, m := range machines {
		h := health[id]
		at, known := c.fell[id]
		if counts(at, known) && h.State == cluster.Suspect {
			fell[id] = at // it isn't back: it is looked at anew
			continue
		}
		if h.State.Runs() {
			runs[id] = true
		}
		if h.State != cluster.Failed || m.Schedule == cluster.Drained {
			continue
		}
		if counts(at, known) {
			fell[id] = at
		} else if c.runs[id] {
			fell[id] = now
		}
	}
	c.fell, c.runs = fell, runs
	total := len(runs) + len(fell)
	switch {
	case 2*len(fell) > total && (c.held || total >= holdLeast):
		c.held, c.calm = true, time.Time{}
		return fmt.Sprintf("%d of %d machines vanished at once; drain those that are really dead to have their units moved "+
			"(more likely this side is the one cut off)", len(fell), total), again
	case total >= holdLeast && 2*len(deaf) >= total:
		return fmt.Sprintf("gossip doesn't hear %d of %d machines, whose sessions with the store are alive: "+
			"it is this side's network that is in trouble", len(deaf), total), again
	case !c.held && total >= holdLeast && 2*len(fell) == total && slices.ContainsFunc(slices.Collect(maps.Keys(fell)),
		func(id string) bool { _, ok := sessions[id]; return ok }):
		again = slices.MinFunc(slices.Collect(maps.Values(fell)), time.Time.Compare).Add(holdWindow)
		return fmt.Sprintf("%d of %d machines vanished at once; they are given up when their sessions with the store "+
			"have ended", len(fell), total), again
	case c.held && len(fell) > 0:
		if c.calm.IsZero() {
			c.calm = now
		}
		if end := c.calm.Add(grace); now.Before(end) {
			return fmt.Sprintf("machines that vanished at once are coming back: the %d still missing get %s",
				len(fell), seconds(grace)), end
		}
	}
	c.held, c.calm = false, time.Time{}
	return "", again
}

// gathering tells until when the machines of a cluster that was down as a whole
// have to come back, and which are missing: those that could take units and
// weren't up since this daemon began. It is zero when there are none.
func gathering(end, now time.Time, machines map[string]cluster.Machine, seenUp map[string]bool) (
	until time.Time, missing []string) {
	if !now.Before(end) {
		return time.Time{}, nil
	}
	for id, m := range machines {
		if m.Schedule == cluster.Schedulable && m.Departure != cluster.Left && !seenUp[id] {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return time.Time{}, nil
	}
	slices.Sort(missing)
	return end, missing
}
