package state

import (
	"cmp"
	"slices"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/history"
	"fleettop/daemon/api"
	"fleettop/units"
)

// Moment is what the history of a snapshot ends with; now is the time here. Its times are by the cluster's clocks.
func (s *Snapshot) Moment(now time.Time) history.Moment {
	m := history.Moment{Time: now.Round(0).Add(s.Ahead), Covered: true,
		Leader: history.Leader{Machine: s.Leader.Machine, Since: s.Leader.Since}}
	for _, one := range s.Machines {
		past := api.PastMachine(one.Machine)
		past.Since, past.ScheduledAt = s.theirs(past.Since), s.theirs(past.ScheduledAt)
		m.Machines = append(m.Machines, past)
	}
	slices.SortFunc(m.Machines, func(a, b history.Machine) int { return cmp.Compare(a.ID, b.ID) })
	for i := 0; i < len(s.Rows); {
		first := s.Rows[i]
		u := api.PastUnit(api.Unit{Name: first.Unit, Global: first.Global, Desired: first.Desired, At: first.changed}, "")
		for ; i < len(s.Rows) && s.Rows[i].Unit == first.Unit; i++ {
			if r := s.Rows[i]; r.given != nil {
				u.Places = append(u.Places, api.PastPlace(*r.given, r.status))
			}
			if s.Rows[i].Unplaced {
				u.Unplaced = s.Rows[i].Reason
			}
		}
		if first.known {
			m.Units = append(m.Units, u)
		}
	}
	return m
}

// theirs is a time of the snapshot by the cluster's clocks.
func (s *Snapshot) theirs(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Round(0).Add(s.Ahead)
}

// Events are those of the timeline, oldest first.
func (s *Snapshot) Events() []cluster.Event {
	seen := make(map[string]bool, len(s.Timeline))
	var list []cluster.Event
	add := func(e cluster.Event) {
		if !seen[e.ID] {
			seen[e.ID] = true
			list = append(list, e)
		}
	}
	for _, e := range s.Timeline {
		for _, ev := range e.Block {
			add(ev)
		}
		if len(e.Block) == 0 {
			add(e.Event)
		}
	}
	slices.SortStableFunc(list, func(a, b cluster.Event) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// History is the past that a snapshot knows of; now is the time here.
func (s *Snapshot) History(now time.Time) *history.History {
	return history.New(s.Moment(now), s.Events())
}

const (
	pastFrames = 40     // moments that lead to one, at most: moves go on over them
	pastWork   = 50_000 // units looked at for one, at most
)

// Past is the snapshot of a past moment, by the cluster's clocks: what is not known of it says
// so. base is the snapshot that the history was made of; gen is the generation of the result,
// which no other snapshot may have. It may take a second where there are many units.
func Past(h *history.History, base *Snapshot, at time.Time, gen uint64) *Snapshot {
	r := NewReducer()
	r.last.ClusterID = base.ClusterID
	var snap *Snapshot
	events := h.Between(time.Time{}, at)
	told := 0
	for _, t := range frames(h, at, len(base.Rows)) {
		m := h.At(t)
		l := pastLine(m)
		l.ClusterID, l.Self, l.Version = base.ClusterID, base.Self, base.Version
		for ; told < len(events) && !events[told].Time.After(t); told++ {
			l.Events = append(l.Events, events[told])
		}
		r.unknown = unknownOf(m)
		r.Apply(l, t)
		r.SetConn(Conn{Up: true, Endpoint: base.Conn.Endpoint, Since: base.Conn.Since, Seen: t})
		snap = r.Snapshot(t)
	}
	out := *snap
	out.Gen = gen
	return &out
}

// frames are the moments by which one is reached: those of the events of the minute before it, and itself.
func frames(h *history.History, at time.Time, rows int) []time.Time {
	list := []time.Time{at}
	most := max(1, min(pastFrames, pastWork/max(1, rows)))
	for t := at; len(list) < most; {
		before, ok := h.Before(t)
		if !ok || at.Sub(before) > MovedFor {
			break
		}
		list, t = append(list, before), before
	}
	slices.Reverse(list)
	return slices.CompactFunc(append([]time.Time{list[0].Add(-1)}, list...), time.Time.Equal)
}

// pastLine is a past moment as a daemon would have told of it.
func pastLine(m history.Moment) *api.Line {
	l := &api.Line{Kind: api.LineSnapshot, Store: &api.Store{Connected: true},
		Leader: &cluster.Leader{Machine: m.Leader.Machine, Since: m.Leader.Since, Run: "past"}}
	for _, one := range m.Machines {
		l.Machines = append(l.Machines, api.Machine{Machine: cluster.Machine{ID: one.ID, Name: one.Name,
			Schedule: one.Schedule, ScheduledAt: one.ScheduledAt}, Leader: one.ID == m.Leader.Machine,
			Health: cluster.Health{State: one.Health, Since: one.Since}})
	}
	for _, u := range m.Units {
		l.Units = append(l.Units, api.Unit{Name: u.Name, Global: u.Global, Desired: u.Desired, Generation: 1, At: u.Changed})
		if u.Unplaced != "" {
			l.Unplaced = append(l.Unplaced, api.Unplaced{Unit: u.Name, Reason: u.Unplaced})
		}
		for _, p := range u.Places {
			desired := u.Desired
			if desired == units.Inactive {
				desired = units.Loaded // it was being taken away
			}
			l.Assignments = append(l.Assignments, api.Assignment{Machine: p.Machine, Unit: u.Name, Desired: desired,
				Generation: 1, Epoch: 1, Reason: p.Reason, Since: p.Since})
			if s := p.Status; s.Active != "" {
				l.Statuses = append(l.Statuses, cluster.Status{Machine: p.Machine, Epoch: 1, Generation: 1,
					Status: units.Status{Name: u.Name, Load: "loaded", Active: s.Active, Sub: s.Sub, Result: s.Result,
						Restarts: s.Restarts, Since: s.Since}})
			}
		}
	}
	return l
}

// unknown is what isn't known of units at a past moment.
type unknown struct {
	desired, places map[string]bool
}

// unknownOf is what isn't known at a moment.
func unknownOf(m history.Moment) *unknown {
	u := &unknown{desired: map[string]bool{}, places: map[string]bool{}}
	for _, one := range m.Units {
		if one.Desired == "" {
			u.desired[one.Name] = true
		}
		if one.PlacesUnknown && len(one.Places) == 0 {
			u.places[one.Name] = true
		}
	}
	return u
}

// UnknownWord is the state of what isn't known of a past moment.
const UnknownWord = "unknown"

// judge puts right what a row seems to be by what isn't known.
func (u *unknown) judge(r *Row) {
	switch {
	case u == nil:
		return
	case u.places[r.Unit] && r.Machine == "":
		r.Host = "not known"
	case r.Machine != "" && r.Active == "" && (r.Word == string(cluster.UnitStarting) || r.Word == string(cluster.UnitLoading)):
	case r.Machine == "" && u.desired[r.Unit]:
	default:
		return
	}
	r.Word, r.Mood = UnknownWord, Idle
}
