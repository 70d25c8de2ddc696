package logs

import (
	"context"
	"fmt"
	"time"

	"fleettop/cluster"
	"fleettop/journal"
)

// past is the time until every machine has told what it has: lines of now
// wait, and of the lines of old only the newest are kept where only so many are wanted.
type past struct {
	open    bool
	lines   int             // wanted; 0 for all
	kept    []journal.Entry // the newest of old
	entries int             // of kept, that are lines of a log
	now     []item          // lines of now
	waiting int             // lines of old that are with the merger
	notes   []journal.Entry // to be said in the end
}

func (p *past) begin(c *conductor) {
	p.open = true
	if len(c.o.After) == 0 {
		p.lines = max(0, c.o.Lines)
	}
}

// take sorts a line of the merger in.
func (p *past) take(c *conductor, it item) {
	if !it.past {
		p.now = append(p.now, it)
		return
	}
	p.waiting--
	if p.lines == 0 {
		c.put(it.Entry)
		return
	}
	p.kept = append(p.kept, it.Entry)
	if it.Kind == "" {
		p.entries++
	}
	if len(p.kept) > 4*p.lines+1024 {
		p.trim()
	}
}

// trim leaves the newest lines wanted, and what lies between them.
func (p *past) trim() {
	var positions []journal.Entry
	for i := 0; p.entries > p.lines; i++ {
		switch p.kept[i].Kind {
		case "":
			p.entries--
		case journal.KindPosition:
			positions = append(positions, p.kept[i])
		}
		p.kept[i].Kind = dropped
	}
	kept := positions
	for _, l := range p.kept {
		if l.Kind != dropped {
			kept = append(kept, l)
		}
	}
	p.kept = kept
}

const dropped journal.Kind = "dropped"

// patience gives up waiting for machines that don't answer, and tells how
// long the others have left.
func (p *past) patience(c *conductor, now time.Time) (left time.Duration) {
	for _, f := range c.feeds {
		if f.live {
			continue
		}
		wait := f.began.Add(answerWithin).Sub(now)
		if wait <= 0 && c.merger.Queued(f.key) == 0 {
			f.live = true
			c.merger.Live(f.key)
			c.note(fmt.Sprintf("%s does not answer: its lines come when it does", c.snap.Label(f.machine)))
			if !c.o.Follow {
				c.end(f)
			}
			continue
		}
		if wait > 0 && (left == 0 || wait < left) {
			left = wait
		}
	}
	return left
}

// told reports whether all machines have told their past.
func (p *past) told(c *conductor) bool {
	for _, f := range c.feeds {
		if !f.live {
			return false
		}
	}
	return p.waiting == 0
}

// close ends the past.
func (p *past) close(c *conductor, now time.Time) {
	p.open = false
	p.trim()
	for _, l := range p.kept {
		c.put(l)
	}
	for _, id := range sortedKeys(present(c.snap, c.names)) {
		h, ok := c.s.cfg.Health.Health()[id]
		if c.only.ID != "" && c.only.ID != id || !ok || h.State.Runs() || id == c.s.cfg.Self {
			continue
		}
		c.lost[id] = true
		c.note(fmt.Sprintf("%s is %s: what it had logged can be told when it is back", c.snap.Label(id), h.State))
	}
	c.out = append(c.out, p.notes...)
	for _, it := range p.now {
		c.pass(it, now)
	}
	*p = past{}
}

// eventsMost is how many events are looked through for dividers in the past.
const eventsMost = 5000

// history adds the moves of the past to the merger.
func (c *conductor) history(ctx context.Context) {
	if c.o.Lines < 0 || c.s.cfg.Timeline == nil || c.only.ID != "" {
		return
	}
	events := c.lease.Events(c.q.Since, eventsMost)
	if _, live, _, _ := c.lease.Latest(); live {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		stored, err := c.s.cfg.Timeline.Events(ctx, c.q.Since, eventsMost)
		if err != nil {
			c.s.cfg.Log.Debug("a log goes with the moves that are known, as the store doesn't answer", "error", err)
		} else {
			events = stored
		}
	}
	// A move with its outage says more than the move alone.
	type move struct{ unit, from, to string }
	timed := map[move]time.Time{}
	for _, e := range events {
		if e.Kind == cluster.EventActive && e.Outage != nil {
			timed[move{e.Unit, e.From, e.To}] = e.Time
		}
	}
	const key = "moves"
	c.merger.Open(key)
	for _, e := range events {
		if !selected(c.names, e.Unit) || e.From == "" || e.To == "" || !c.q.Until.IsZero() && e.Time.After(c.q.Until) {
			continue
		}
		at := e.Time
		switch {
		case e.Kind == cluster.EventActive && e.Outage != nil:
			at = at.Add(-e.Outage.Start)
		case e.Kind != cluster.EventMoved:
			continue
		default:
			if t, ok := timed[move{e.Unit, e.From, e.To}]; ok && t.After(e.Time) && t.Sub(e.Time) < time.Minute {
				continue
			}
			e.Outage = nil
		}
		c.past.waiting++
		c.merger.Add(key, item{Entry: c.divider(e.Unit, e.From, e.To, e.Outage, at), past: true}, at, at)
	}
	c.merger.End(key)
}
