package server

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/view"
)

// lineQuiet is the least time between two lines of a watch; what happens
// meanwhile goes into one.
const lineQuiet = 20 * time.Millisecond

// watch streams the cluster's state. What it keeps for a reader is bounded by
// the state itself, as a line tells what is different from the state told
// before; a reader that takes nothing for long is cut off.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	l, e := s.read(r)
	if e != nil {
		writeError(w, e)
		return
	}
	defer l.lease.Release()
	s.metrics.watchers.Inc()
	defer s.metrics.watchers.Dec()
	wa := s.newWatcher(l)
	wa.out = newStream(w, wa.s.cfg.SlowReader)
	wa.subscribe(r.Context(), l.store.Connected)
	if wa.send(wa.first(r.Context(), l.snap, l.store)) == nil {
		wa.run(r.Context())
	}
}

// state answers with the snapshot a watch would begin with.
func (s *Server) state(l readRequest) (any, *api.Error) {
	line := s.newWatcher(l).first(l.Context(), l.snap, l.store)
	line.Time = time.Now().UTC()
	return line, nil
}

// watcher is one watch. It belongs to its request's goroutine.
type watcher struct {
	s        *Server
	lease    *view.Lease
	out      *stream
	units    selector
	machines selector

	// What the reader was told.
	snap       *cluster.Snapshot
	store      api.Store
	rows       map[string]api.Machine
	unplaced   map[string]api.Unplaced
	asksWhatIf bool
	heartbeat  time.Duration // the longest silence
	whatIf     map[string]api.WhatIf
	lastEvent  cluster.Event // the one with the highest ID

	// The subscription brings the events; nil while there is none.
	sub    *view.Subscription
	caught map[string]bool // events read from the store that the subscription may repeat
}

func (s *Server) newWatcher(r readRequest) *watcher {
	q := r.URL.Query()
	return &watcher{s: s, lease: r.lease, units: newSelector(q["unit"]), machines: newSelector(q["machine"]),
		asksWhatIf: q.Get("whatif") == "true",
		heartbeat:  heartbeat(q.Get("heartbeat"), s.cfg.Heartbeat), snap: cluster.NewSnapshot(0)}
}

// heartbeatLeast bounds what a reader may ask for.
const heartbeatLeast = 200 * time.Millisecond

// heartbeat is the longest silence of a stream: what the reader asks for, where
// that is shorter than what it gets anyhow.
func heartbeat(asked string, most time.Duration) time.Duration {
	d, err := time.ParseDuration(asked)
	if err != nil || d <= 0 {
		return most
	}
	return min(most, max(d, heartbeatLeast))
}

// first is the first line.
func (wa *watcher) first(ctx context.Context, snap *cluster.Snapshot, st api.Store) *api.Line {
	wa.store = st
	l := &api.Line{Kind: api.LineSnapshot, ClusterID: snap.ClusterID, Self: wa.s.cfg.Self, Version: wa.s.cfg.Version,
		Leader: &snap.Leader, Store: &st}
	wa.advance(l, snap)
	l.Events = wa.missed(ctx, api.EventsDefault)
	return l
}

// subscribe begins a subscription if the store is there; a short patience
// keeps a store that vanishes at this moment from holding up the watch.
func (wa *watcher) subscribe(ctx context.Context, live bool) {
	if !live {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, sub, err := wa.lease.Subscribe(ctx); err == nil {
		wa.sub = sub
	}
}

// missed reads the events since the last one told: from the store, or those
// that are known of it where it is lost.
func (wa *watcher) missed(ctx context.Context, limit int) []cluster.Event {
	list := wa.lease.Events(wa.lastEvent.Time, limit)
	if wa.store.Connected {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		stored, err := wa.s.cfg.Store.Events(ctx, wa.lastEvent.Time, limit)
		if err != nil {
			wa.s.cfg.Log.Debug("a watch goes on with the events that are known, as the store doesn't answer", "error", err)
		} else {
			list = stored
		}
	}
	since := wa.lastEvent.ID
	wa.caught = make(map[string]bool, len(list))
	var out []cluster.Event
	for _, ev := range list {
		wa.caught[ev.ID] = true
		if ev.ID > since {
			out = wa.event(out, ev)
		}
	}
	return out
}

// event appends an event if the reader wants it.
func (wa *watcher) event(out []cluster.Event, ev cluster.Event) []cluster.Event {
	if ev.ID > wa.lastEvent.ID {
		wa.lastEvent = ev
	}
	if ev.Unit != "" && !wa.units.match(ev.Unit) {
		return out
	}
	if ev.Machine+ev.From+ev.To != "" && !wa.machines.match(ev.Machine) && !wa.machines.match(ev.From) &&
		!wa.machines.match(ev.To) {
		return out
	}
	return append(out, ev)
}

// run sends a line for each change until ctx ends or the reader is gone.
func (wa *watcher) run(ctx context.Context) {
	beat := time.NewTicker(wa.heartbeat)
	defer beat.Stop()
	quiet := time.NewTimer(0) // no line before it fires
	defer quiet.Stop()
	for {
		_, _, _, viewChanged := wa.lease.Latest()
		healthChanged := wa.s.cfg.Health.Changed()
		if wa.send(wa.next(ctx)) != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			if wa.send(&api.Line{Kind: api.LineHeartbeat, Revision: wa.snap.Revision}) != nil {
				return
			}
			continue
		case <-viewChanged:
		case <-healthChanged:
		}
		select {
		case <-ctx.Done():
			return
		case <-quiet.C:
			quiet.Reset(lineQuiet)
		}
	}
}

// next is the line that brings the reader up to date.
func (wa *watcher) next(ctx context.Context) *api.Line {
	snap, live, lost, _ := wa.lease.Latest()
	l := &api.Line{Kind: api.LineChange, Revision: wa.snap.Revision}
	if live != wa.store.Connected {
		wa.store = api.Store{Connected: live}
		if !live {
			wa.store.Since = lost
		}
		l.Kind, l.Store = api.LineStore, &wa.store
	}
	if snap == nil {
		return l
	}
	wa.drain(l)
	if wa.sub == nil && live {
		if wa.subscribe(ctx, live); wa.sub != nil {
			l.Events = append(l.Events, wa.missed(ctx, api.EventsDefault)...)
		}
	}
	wa.advance(l, snap)
	return l
}

// drain takes the events the subscription has.
func (wa *watcher) drain(l *api.Line) {
	for wa.sub != nil {
		select {
		case c, ok := <-wa.sub.C():
			if !ok {
				wa.sub = nil
				return
			}
			for _, ev := range c.Events {
				if !wa.caught[ev.ID] {
					l.Events = wa.event(l.Events, ev)
				}
			}
		default:
			return
		}
	}
}

// advance tells the reader how a snapshot and the machines' health differ from what it knows.
func (wa *watcher) advance(l *api.Line, snap *cluster.Snapshot) {
	c := diff(wa.snap, snap)
	had := wa.snap
	wa.snap, l.Revision = snap, snap.Revision
	if c.ClusterID != nil {
		l.ClusterID = *c.ClusterID
	}
	if c.Leader != nil {
		l.Leader = c.Leader
	}
	health := wa.s.health(snap, wa.store)
	rows := make(map[string]api.Machine, len(snap.Machines))
	for id, m := range snap.Machines {
		if wa.machines.match(id) {
			rows[id] = wa.s.machine(snap, m, health[id])
		}
	}
	var gone api.Gone
	l.Machines, gone.Machines = diffRows(wa.rows, rows)
	wa.rows = rows
	wa.fill(l, &gone, c)
	if !cluster.SameMap(had.Unplaced, snap.Unplaced) || !cluster.SameMap(had.Units, snap.Units) {
		reasons := unplaced(snap)
		maps.DeleteFunc(reasons, func(name string, _ api.Unplaced) bool { return !wa.units.match(name) })
		l.Unplaced, gone.Unplaced = diffRows(wa.unplaced, reasons)
		wa.unplaced = reasons
	}
	if wa.asksWhatIf && !cluster.SameMap(had.WhatIf, snap.WhatIf) {
		answers := make(map[string]api.WhatIf, len(snap.WhatIf))
		for id, a := range snap.WhatIf {
			if wa.machines.match(id) {
				answers[id] = api.WhatIf{Machine: id, WhatIf: a}
			}
		}
		l.WhatIf, gone.WhatIf = diffRows(wa.whatIf, answers)
		wa.whatIf = answers
	}
	if !gone.Empty() {
		l.Gone = &gone
	}
}

// send writes a line, unless it says nothing.
func (wa *watcher) send(l *api.Line) error {
	if l.Kind == api.LineChange && l.Empty() {
		return nil
	}
	if l.Kind != api.LineHeartbeat {
		l.Time = time.Now().UTC()
	}
	line, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if err := wa.out.write(line); err != nil {
		return err
	}
	return wa.out.flush()
}
