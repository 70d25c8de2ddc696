package server

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/view"
	"fleettop/journal"
	"fleettop/units"
)

const (
	// eventsEach is up to how many units of a batch get an event each; of
	// more, one event tells the number.
	eventsEach = 20
	eventUnits = 1000 // that one event names
)

var pastTense = map[api.Verb]string{
	api.Submit: "submitted", api.Load: "loaded", api.Start: "started", api.Stop: "stopped",
	api.Unload: "unloaded", api.Restart: "restarted", api.Destroy: "destroyed", api.Release: "released"}

// timeline is what an action adds to the timeline.
func (a *action) timeline() []cluster.Event {
	var changed []*item
	for _, it := range a.items {
		if it.result.Changed {
			changed = append(changed, it)
		}
	}
	done := pastTense[a.verb]
	if len(changed) > eventsEach {
		return a.together(changed, done)
	}
	events := make([]cluster.Event, 0, len(changed))
	for _, it := range changed {
		name := it.name.String()
		text := done + " " + name
		if it.given != nil && it.given.adoptFrom != "" {
			text = "adopted " + name
		}
		events = append(events, cluster.Event{Time: it.at, Kind: cluster.EventUnit, Unit: name, Text: text, By: a.by,
			Record: cluster.Record{Verb: string(a.verb), Desired: it.result.Desired, Was: it.was}})
	}
	return events
}

// together is what an action of many units adds to the timeline: an event for each
// thousand of them for which it changes the same.
func (a *action) together(changed []*item, done string) (events []cluster.Event) {
	type change struct{ from, to units.DesiredState }
	alike := map[change][]string{}
	for _, it := range changed {
		c := change{to: it.result.Desired}
		if it.old != nil {
			c.from = it.old.Desired
		}
		alike[c] = append(alike[c], it.name.String())
	}
	order := slices.SortedFunc(maps.Keys(alike), func(a, b change) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	for _, c := range order {
		for names := range slices.Chunk(alike[c], eventUnits) {
			text := done + " " + strings.Join(names, ", ")
			if more := len(names) - 2; more > 0 {
				text = fmt.Sprintf("%s %d units: %s, %s and %d more", done, len(names), names[0], names[1], more)
			}
			events = append(events, cluster.Event{Time: changed[0].at, Kind: cluster.EventUnit, By: a.by, Text: text,
				Record: cluster.Record{Verb: string(a.verb), Units: names, Desired: c.to,
					Was: &cluster.Was{Absent: c.from == "", Desired: c.from}}})
		}
	}
	return events
}

// events answers with the timeline, and with follow goes on with what is added to it.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var since time.Time
	var err error
	if text := q.Get("since"); text != "" {
		if since, err = journal.ParseTimeOrAge(text, time.Now()); err != nil {
			writeError(w, api.Refuse(api.CodeInvalid, "", "since: %v", err))
			return
		}
	}
	limit := api.EventsDefault
	if l := q.Get("limit"); l != "" {
		if limit, err = strconv.Atoi(l); err != nil || limit < 0 || limit > api.EventsMost {
			writeError(w, api.Refuse(api.CodeInvalid, fmt.Sprintf("give a number from 0 to %d", api.EventsMost), "limit %q is none",
				l))
			return
		}
	}
	if q.Get("follow") == "true" {
		s.followEvents(w, r, since, limit)
		return
	}
	s.reading(func(l readRequest) (any, *api.Error) {
		list, st := s.timeline(l.Context(), l.lease, l.store, since, limit)
		return api.EventList{Store: st, Events: list}, nil
	})(w, r)
}

// timeline reads events from the store, or from what is known of it where it is lost.
func (s *Server) timeline(ctx context.Context, lease *view.Lease, st api.Store, since time.Time, limit int) (
	[]cluster.Event, api.Store) {
	if limit == 0 {
		return []cluster.Event{}, st
	}
	if st.Connected {
		limited, cancel := context.WithTimeout(ctx, storePatience)
		defer cancel()
		list, err := s.cfg.Store.Events(limited, since, limit)
		if err == nil {
			return slices.Concat([]cluster.Event{}, list), st
		}
		s.cfg.Log.Debug("the timeline is told as it is known, as the store doesn't answer", "error", err)
		st = api.Store{Since: time.Now()}
		if _, live, asOf, _ := lease.Latest(); !live {
			st.Since = asOf
		}
	}
	return slices.Concat([]cluster.Event{}, lease.Events(since, limit)), st
}

// followEvents streams events, one a line, with an empty line as heartbeat.
// Where the store is lost it waits for it, for as long as the client does.
func (s *Server) followEvents(w http.ResponseWriter, r *http.Request, since time.Time, limit int) {
	l, e := s.read(r)
	if e != nil {
		writeError(w, e)
		return
	}
	lease := l.lease
	defer lease.Release()
	if limit == 0 {
		since = time.Now() // only what is new
	}
	f := &eventFollower{s: s, lease: lease, out: newStream(w, s.cfg.SlowReader), since: since, limit: limit,
		sent: map[string]bool{}}
	if f.next(r.Context()) != nil {
		return
	}
	beat := time.NewTicker(s.cfg.Heartbeat)
	defer beat.Stop()
	for {
		var err error
		_, live, _, viewChanged := lease.Latest()
		var changes <-chan cluster.Change
		switch {
		case f.sub != nil:
			changes, viewChanged = f.sub.C(), nil
		case live:
			if err = f.next(r.Context()); err != nil {
				return
			}
			continue
		}
		select {
		case <-r.Context().Done():
			return
		case <-viewChanged:
		case <-beat.C:
			if err = f.out.write(nil); err == nil {
				err = f.out.flush()
			}
		case c, ok := <-changes:
			if !ok {
				f.sub = nil
			}
			err = f.send(c.Events)
		}
		if err != nil {
			return
		}
	}
}

// eventFollower is one client that follows the timeline.
type eventFollower struct {
	s     *Server
	lease *view.Lease
	out   *stream
	sub   *view.Subscription // nil while the store is away

	since time.Time
	limit int
	sent  map[string]bool // events from since on, by ID
}

// next sends what is new since the last event sent, and subscribes to what
// follows where the store is there.
func (f *eventFollower) next(ctx context.Context) error {
	_, live, _, _ := f.lease.Latest()
	if live {
		ctx, cancel := context.WithTimeout(ctx, time.Second) // the store may be lost at this moment
		defer cancel()
		if _, sub, err := f.lease.Subscribe(ctx); err == nil {
			f.sub = sub
		}
	}
	list, _ := f.s.timeline(ctx, f.lease, api.Store{Connected: live}, f.since, f.limit)
	if live || len(list) > 0 {
		f.limit = api.EventsMost // of later ones, all
	}
	return f.send(list)
}

// send sends events that were not sent before.
func (f *eventFollower) send(list []cluster.Event) error {
	for _, ev := range list {
		if f.sent[ev.ID] {
			continue
		}
		line, err := json.Marshal(ev)
		if err != nil {
			return err
		}
		if err := f.out.write(line); err != nil {
			return err
		}
		// What is asked for again begins at the last time seen.
		if ev.Time.After(f.since) {
			f.since = ev.Time
			clear(f.sent)
		}
		f.sent[ev.ID] = true
	}
	return f.out.flush()
}
