package agent

import (
	"context"
	"fmt"
	"time"

	"fleettop/cluster"
	"fleettop/units"
	"fleettop/units/retry"
)

const (
	reportQuiet = 4 * time.Millisecond   // statuses wait this long for company
	reportLeast = 100 * time.Millisecond // after a report that did not get through
	reportMost  = 2 * time.Second
	// reportLimit is short, as a report that was handed to an etcd leader that
	// died is never answered, and the next one tells all that it did.
	reportLimit = 2 * time.Second
	failureRoom = 64 // failures waiting to be recorded; more are only logged
)

// reporter brings the store's statuses in line with the machine's. Its
// goroutine owns what was told and may block on the store; the agent never does.
type reporter struct {
	cfg      Config
	latest   chan map[string]cluster.Status // capacity 1: only the newest counts
	sessions chan cluster.Session
	events   chan cluster.Event
}

func newReporter(cfg Config) *reporter {
	return &reporter{cfg: cfg, latest: make(chan map[string]cluster.Status, 1),
		sessions: make(chan cluster.Session, 1), events: make(chan cluster.Event, failureRoom)}
}

// report replaces what is to be told. Only the agent's goroutine calls it.
func (r *reporter) report(all map[string]cluster.Status) {
	select {
	case <-r.latest:
	default:
	}
	r.latest <- all
}

func (r *reporter) setSession(s cluster.Session) {
	select {
	case <-r.sessions:
	default:
	}
	r.sessions <- s
}

// failures puts units that have just failed on the timeline.
func (r *reporter) failures(before, after map[string]units.Status, want map[string]cluster.Assignment) {
	for name, now := range after {
		was, known := before[name]
		if _, ours := want[name]; !ours || now.Active != "failed" || !known || was.Active == "failed" {
			continue
		}
		e := cluster.Event{Kind: cluster.EventFailed, Machine: r.cfg.Machine, Unit: name, Time: time.Now(),
			Text:   fmt.Sprintf("%s failed on %s: %s", name, r.cfg.Name, now.Result),
			Record: cluster.Record{Was: &cluster.Was{}}}
		e.Was.SetStatus(was)
		r.tell(e)
	}
}

// tell puts an event on the timeline, without blocking.
func (r *reporter) tell(e cluster.Event) {
	select {
	case r.events <- e:
	default:
		r.cfg.Log.Warn("too much at once for the timeline", "unit", e.Unit, "event", e.Text)
	}
}

func (r *reporter) run(ctx context.Context) {
	recorded := make(chan struct{})
	go func() { defer close(recorded); r.record(ctx) }()
	defer func() { <-recorded }()

	var session cluster.Session
	var all map[string]cluster.Status
	told := map[string]cluster.Status{}
	delay := retry.NewDelay(reportLeast, reportMost)
	again := time.NewTimer(0)
	defer again.Stop()
	waits := false // for the time to try again
	for {
		select {
		case <-ctx.Done():
			return
		case session = <-r.sessions:
			clear(told)
			waits = false
			for _, unit := range session.Inherited() {
				told[unit] = cluster.Status{}
			}
		case all = <-r.latest:
			retry.Pause(ctx, reportQuiet)
			select {
			case all = <-r.latest:
			default:
			}
		case <-again.C:
			waits = false
		}
		if session == nil || all == nil || waits {
			continue
		}
		puts, deletes := difference(told, all)
		if len(puts)+len(deletes) == 0 {
			continue
		}
		putCtx, cancel := context.WithTimeout(ctx, reportLimit)
		err := session.PutStatuses(putCtx, puts, deletes)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				r.cfg.Log.Debug("statuses not reported; trying again", "error", err)
			}
			waits = true
			again.Reset(delay.Next())
			continue
		}
		delay.Reset()
		for _, s := range puts {
			told[s.Name] = s
		}
		for _, name := range deletes {
			delete(told, name)
		}
	}
}

// difference is what must be put and deleted for told to become all.
func difference(told, all map[string]cluster.Status) (puts []cluster.Status, deletes []string) {
	for name, s := range all {
		t, ok := told[name]
		if !ok || t.Epoch != s.Epoch || t.Generation != s.Generation || t.Error != s.Error || t.Released != s.Released ||
			!t.Status.Equal(s.Status) {
			puts = append(puts, s)
		}
	}
	for name := range told {
		if _, ok := all[name]; !ok {
			deletes = append(deletes, name)
		}
	}
	return puts, deletes
}

func (r *reporter) record(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-r.events:
			putCtx, cancel := context.WithTimeout(ctx, reportLimit)
			if err := r.cfg.Store.Record(putCtx, e); err != nil {
				r.cfg.Log.Warn("not on the timeline", "event", e.Text, "error", err)
			}
			cancel()
		}
	}
}
