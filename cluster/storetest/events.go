package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"fleettop/cluster"
)

var eventCases = []testCase{
	{"events are kept in the order of their times", eventOrder},
	{"events come with changes, to who asks for them", eventWatch},
	{"events are found by the revision of their recording", eventRevisions},
	{"what a receiver was told never goes back", eventsTold},
}

func eventOrder(t *testing.T, open func() cluster.Store) {
	s := open()
	if list, err := s.Events(t.Context(), time.Time{}, 10); err != nil || len(list) != 0 {
		t.Fatalf("a new cluster has events %v, %v", list, err)
	}
	now := time.Now()
	at := func(minutes int) cluster.Event {
		return cluster.Event{Time: now.Add(time.Duration(minutes) * time.Minute), Kind: cluster.EventMoved,
			Text: fmt.Sprint(minutes),
			Unit: "web.service", From: "m1", To: "m2", By: "the suite", Outage: &cluster.Outage{Detect: time.Second, Units: 2}}
	}
	must(t, s.Record(t.Context(), at(-10), at(-50), at(-30)))
	must(t, s.Record(t.Context(), at(-40), at(-20)))
	must(t, s.Record(t.Context()))
	same := at(-5)
	var tail []string
	for i := range 130 {
		tail = append(tail, fmt.Sprintf("same %d", i))
	}
	var burst []cluster.Event
	for _, text := range tail {
		e := same
		e.Text = text
		burst = append(burst, e)
	}
	must(t, s.Record(t.Context(), burst...))

	texts := func(since time.Time, limit int) []string {
		t.Helper()
		list, err := s.Events(t.Context(), since, limit)
		must(t, err)
		if !slices.IsSortedFunc(list, func(a, b cluster.Event) int { return cmpIDs(a, b) }) {
			t.Error("IDs don't sort by time")
		}
		var got []string
		for _, e := range list {
			got = append(got, e.Text)
		}
		return got
	}
	all := append([]string{"-50", "-40", "-30", "-20", "-10"}, tail...)
	for _, c := range []struct {
		since time.Time
		limit int
		want  []string
	}{
		{time.Time{}, 1000, all},
		{time.Time{}, 0, all},
		{time.Time{}, 3, all[len(all)-3:]},
		{at(-30).Time, 1000, all[2:]},
		{at(-30).Time.Add(1), 1000, all[3:]},
		{at(-30).Time, 2, all[len(all)-2:]},
		{now, 10, nil},
	} {
		if got := texts(c.since, c.limit); !slices.Equal(got, c.want) {
			t.Errorf("since %v, at most %d: %v", c.since, c.limit, got)
		}
	}
	list, err := s.Events(t.Context(), at(-50).Time, 1000)
	must(t, err)
	e, wrote := list[0], at(-50)
	if !e.Time.Equal(wrote.Time) || e.Kind != wrote.Kind || e.Unit != wrote.Unit || e.From != wrote.From ||
		e.To != wrote.To ||
		e.By != wrote.By || e.Outage == nil || *e.Outage != *wrote.Outage || e.ID == "" {
		t.Errorf("read %+v, wrote %+v", e, wrote)
	}
}

func cmpIDs(a, b cluster.Event) int {
	switch {
	case a.ID < b.ID && !b.Time.Before(a.Time):
		return -1
	default:
		return 1
	}
}

func eventWatch(t *testing.T, open func() cluster.Store) {
	s := open()
	must(t, s.Record(t.Context(), cluster.Event{Text: "before"}))
	f := follow(t, s, cluster.Scope{Events: true})
	own := follow(t, s, cluster.Scope{Machine: "m1", Events: true})
	without := follow(t, s, cluster.Scope{})
	before := time.Now().Add(-time.Second)
	must(t, s.Record(t.Context(), cluster.Event{Text: "one", Machine: "m2"}, cluster.Event{Text: "two"}))
	put(t, s, unit("web.service"))
	for _, w := range []*follower{f, own} {
		w.until("the events", func(*cluster.Snapshot) bool { return len(w.events) >= 2 })
		if len(w.events) != 2 || w.events[0].Text != "one" || w.events[1].Text != "two" ||
			w.events[0].ID >= w.events[1].ID || w.events[0].Time.Before(before) {
			t.Errorf("events %+v", w.events)
		}
	}
	list, err := s.Events(t.Context(), time.Time{}, 2)
	must(t, err)
	for i := range list {
		if list[i].ID != f.events[i].ID {
			t.Errorf("the timeline has %s where the watch said %s", list[i].ID, f.events[i].ID)
		}
	}
	without.until("the unit", func(snap *cluster.Snapshot) bool { return len(snap.Units) == 1 })
	if len(without.events) != 0 {
		t.Errorf("events nobody asked for: %v", without.events)
	}
}

func eventRevisions(t *testing.T, open func() cluster.Store) {
	s := open()
	_, changes, err := s.Watch(t.Context(), cluster.Scope{Machine: "m1", Events: true})
	must(t, err)
	now := time.Now()
	record := func(text string, at time.Time) (revision int64) {
		t.Helper()
		must(t, s.Record(t.Context(), cluster.Event{Time: at, Kind: cluster.EventMoved, Text: text}))
		for c := range changes {
			if len(c.Events) > 0 && c.Events[0].Text == text {
				return c.Revision
			}
		}
		t.Fatalf("the watch ended before %q came", text)
		return 0
	}
	first := record("first", now)
	second := record("second, with a clock that is late", now.Add(-time.Hour))
	third := record("third", now)
	for _, c := range []struct {
		after, upTo int64
		want        []string
	}{
		{0, third, []string{"first", "second, with a clock that is late", "third"}},
		{first, third, []string{"second, with a clock that is late", "third"}},
		{first, second, []string{"second, with a clock that is late"}},
		{third, third, nil},
		{third, third + 100, nil},
	} {
		list, err := s.EventsAfter(t.Context(), c.after, c.upTo)
		must(t, err)
		var got []string
		for _, e := range list {
			got = append(got, e.Text)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("after revision %d, up to %d: %q, expected %q", c.after, c.upTo, got, c.want)
		}
	}
}

func eventsTold(t *testing.T, open func() cluster.Store) {
	one, another := open(), open()
	told := func(receiver string, want int64) {
		t.Helper()
		if got, err := another.Told(t.Context(), receiver); err != nil || got != want {
			t.Errorf("%s was told up to %d, %v, expected %d", receiver, got, err, want)
		}
	}
	told("pager", 0)
	must(t, one.SetTold(t.Context(), "pager", 7))
	told("pager", 7)
	must(t, another.SetTold(t.Context(), "pager", 12))
	must(t, one.SetTold(t.Context(), "pager", 9))
	told("pager", 12)
	told("chat", 0)
}
