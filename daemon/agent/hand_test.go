package agent

import (
	"slices"
	"testing"
	"time"

	"fleettop/units"
)

// TestHandTexts: what was done by hand is told once, when it is seen.
func TestHandTexts(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	runs := units.Status{Hash: "abc", Active: "active"}
	with := func(f func(*units.Status)) units.Status {
		s := runs
		f(&s)
		return s
	}
	stopped := with(func(s *units.Status) { s.Active, s.ByHand, s.HandAt = "inactive", units.HandStopped, at })
	changed := with(func(s *units.Status) { s.Altered = "changed by /etc/x.conf" })
	restarted := with(func(s *units.Status) { s.ByHand, s.HandAt = units.HandRestarted, at })
	again := with(func(s *units.Status) { s.ByHand, s.HandAt = units.HandRestarted, at.Add(time.Second) })
	for _, c := range []struct {
		was, now units.Status
		want     []string
	}{
		{runs, runs, nil},
		{runs, stopped, []string{"was stopped by hand on n1"}},
		{stopped, stopped, nil},
		{stopped, runs, nil},
		{runs, restarted, []string{"was restarted by hand on n1"}},
		{restarted, again, []string{"was restarted by hand on n1"}},
		{runs, with(func(s *units.Status) { s.Active, s.ByHand = "inactive", units.HandReset }),
			[]string{"had failed, which was reset by hand on n1"}},
		{runs, changed, []string{"is changed by /etc/x.conf on n1"}},
		{changed, runs, []string{"is no longer changed by /etc/x.conf on n1"}},
		{runs, with(func(s *units.Status) { s.Hash = "" }),
			[]string{"had its file changed or taken away by hand on n1; it is written again"}},
		{with(func(s *units.Status) { s.Hash = "old" }), with(func(s *units.Status) { s.Hash = "" }), nil},
	} {
		if got := handTexts(c.was, c.now, "abc", "n1"); !slices.Equal(got, c.want) {
			t.Errorf("%+v\n%+v\ngot %q, want %q", c.was, c.now, got, c.want)
		}
	}
}

// TestHandInNotes: a note keeps what was done by hand for as long as the unit is
// as the hand left it, also when the manager that saw it is another one by now.
func TestHandInNotes(t *testing.T) {
	a := &Agent{notes: map[string]Note{"web.service": {}}, flights: map[string]*flight{}}
	see := func(s units.Status, want units.Hand) {
		t.Helper()
		a.noticeHands(map[string]units.Status{"web.service": s, "unknown.service": s})
		if got := a.notes["web.service"].ByHand; got != want {
			t.Errorf("%+v: the note says %q, want %q", s, got, want)
		}
	}
	see(units.Status{Active: "active"}, "")
	see(units.Status{Active: "inactive", ByHand: units.HandStopped}, units.HandStopped)
	see(units.Status{Active: "inactive"}, units.HandStopped)
	see(units.Status{Active: "active"}, "")
	see(units.Status{Active: "inactive"}, "")
	see(units.Status{Active: "active", ByHand: units.HandStarted}, units.HandStarted)
	see(units.Status{Active: "deactivating"}, units.HandStarted)
	see(units.Status{Active: "inactive"}, "")
}
