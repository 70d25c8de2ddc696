package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"fleettop/cluster"
)

const (
	// eventsEach is up to how many units of a batch get an event each; of
	// more, one event tells the number.
	eventsEach    = 20
	eventsDefault = 200
	eventsMost    = 10000
)

var pastTense = map[Verb]string{Submit: "submitted", Load: "loaded", Start: "started", Stop: "stopped",
	Unload: "unloaded", Restart: "restarted", Destroy: "destroyed"}

// timeline is what an action adds to the timeline.
func (a *action) timeline() []cluster.Event {
	var names []string
	for _, it := range a.items {
		if it.result.Changed {
			names = append(names, it.name.String())
		}
	}
	done := pastTense[a.verb]
	if len(names) > eventsEach {
		return []cluster.Event{{Kind: cluster.EventUnit, By: a.by,
			Text: fmt.Sprintf("%s %d units: %s, %s and %d more", done, len(names), names[0], names[1], len(names)-2)}}
	}
	events := make([]cluster.Event, 0, len(names))
	for _, name := range names {
		events = append(events, cluster.Event{Kind: cluster.EventUnit, Unit: name, Text: done + " " + name, By: a.by})
	}
	return events
}

// events answers with the timeline, and with follow goes on with what is added to it.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var since time.Time
	var err error
	if text := q.Get("since"); text != "" {
		if since, err = LogTime(text, time.Now()); err != nil {
			writeError(w, refuse(CodeInvalid, "", "since: %v", err))
			return
		}
	}
	limit := eventsDefault
	if l := q.Get("limit"); l != "" {
		if limit, err = strconv.Atoi(l); err != nil || limit < 0 || limit > eventsMost {
			writeError(w, refuse(CodeInvalid, fmt.Sprintf("give a number from 0 to %d", eventsMost), "limit %q is none", l))
			return
		}
	}
	if q.Get("follow") == "true" {
		s.followEvents(w, r, since, limit)
		return
	}
	list, e := s.storedEvents(r, since, limit)
	if e != nil {
		writeError(w, e)
		return
	}
	writeJSON(w, http.StatusOK, EventList{Events: list})
}

func (s *Server) storedEvents(r *http.Request, since time.Time, limit int) ([]cluster.Event, *Error) {
	if limit == 0 {
		return []cluster.Event{}, nil
	}
	list, err := s.cfg.Store.Events(r.Context(), since, limit)
	if err != nil {
		return nil, asError(err)
	}
	if list == nil {
		list = []cluster.Event{}
	}
	return list, nil
}

// followEvents streams events, one a line, with an empty line as heartbeat.
// It ends when the view starts over, and the client asks again from the last time it saw.
func (s *Server) followEvents(w http.ResponseWriter, r *http.Request, since time.Time, limit int) {
	_, changes, err := s.cfg.View.Subscribe(r.Context())
	if err != nil {
		writeError(w, asError(err))
		return
	}
	list, e := s.storedEvents(r, since, limit)
	if e != nil {
		writeError(w, e)
		return
	}
	sent := map[string]bool{}
	out := newStream(w, s.cfg.SlowReader)
	send := func(list []cluster.Event) error {
		for _, ev := range list {
			if sent[ev.ID] {
				continue
			}
			line, err := json.Marshal(ev)
			if err != nil {
				return err
			}
			if err := out.write(line); err != nil {
				return err
			}
		}
		return out.flush()
	}
	if send(list) != nil {
		return
	}
	// Only what was recorded between subscribing and reading can come twice.
	for _, ev := range list {
		sent[ev.ID] = true
	}
	beat := time.NewTicker(s.cfg.Heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-r.Context().Done():
			return
		case <-beat.C:
			if err = out.write(nil); err == nil {
				err = out.flush()
			}
		case c, ok := <-changes:
			if !ok {
				return
			}
			err = send(c.Events)
		}
		if err != nil {
			return
		}
	}
}
