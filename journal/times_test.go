package journal

import (
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 4, 5, 6, 7, 8000, berlin) // a Wednesday
	at := func(y int, mo time.Month, d, h, mi, s, ns int) time.Time {
		return time.Date(y, mo, d, h, mi, s, ns, berlin)
	}
	for text, want := range map[string]time.Time{
		"now":                           now,
		"today":                         at(2026, 3, 4, 0, 0, 0, 0),
		"yesterday":                     at(2026, 3, 3, 0, 0, 0, 0),
		"tomorrow":                      at(2026, 3, 5, 0, 0, 0, 0),
		"-1h":                           now.Add(-time.Hour),
		"5 μs ago":                      now.Add(-5 * time.Microsecond),
		"+30min":                        now.Add(30 * time.Minute),
		"-2h 5m":                        now.Add(-2*time.Hour - 5*time.Minute),
		"2 hours ago":                   now.Add(-2 * time.Hour),
		"1.5 days ago":                  now.Add(-36 * time.Hour),
		"1 week left":                   now.Add(7 * 24 * time.Hour),
		"90 ago":                        now.Add(-90 * time.Second),
		"-1M":                           now.Add(-2629800 * time.Second),
		"2026-01-31":                    at(2026, 1, 31, 0, 0, 0, 0),
		"26-01-31":                      at(2026, 1, 31, 0, 0, 0, 0),
		"2026-01-31 15:04":              at(2026, 1, 31, 15, 4, 0, 0),
		"2026-01-31 15:04:05.25":        at(2026, 1, 31, 15, 4, 5, 250e6),
		"2026-01-31T15:04:05":           at(2026, 1, 31, 15, 4, 5, 0),
		"2026-01-31 15:04:05 UTC":       time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC),
		"2026-01-31 15:04 Europe/Paris": time.Date(2026, 1, 31, 14, 4, 0, 0, time.UTC),
		"2026-01-31T15:04:05.5+02:00":   time.Date(2026, 1, 31, 13, 4, 5, 500e6, time.UTC),
		"Sat 2026-01-31 00:30":          at(2026, 1, 31, 0, 30, 0, 0),
		"15:04":                         at(2026, 3, 4, 15, 4, 0, 0),
		"yesterday 15:04":               at(2026, 3, 3, 15, 4, 0, 0),
		"Jan 31 15:04:05":               at(2026, 1, 31, 15, 4, 5, 0),
		"Feb  3 15:04 UTC":              time.Date(2026, 2, 3, 15, 4, 0, 0, time.UTC),
		"Sat 2026-01-31 15:04:05 CET":   time.Date(2026, 1, 31, 14, 4, 5, 0, time.UTC),
		"2026-07-31 15:04:05 CEST":      time.Date(2026, 7, 31, 13, 4, 5, 0, time.UTC),
		"2026-07-31 15:04 Japan":        time.Date(2026, 7, 31, 6, 4, 0, 0, time.UTC),
		"15:04 EST":                     at(2026, 3, 3, 21, 4, 0, 0),
		"@1769871845":                   time.Unix(1769871845, 0),
		"@1769871845.25":                time.Unix(1769871845, 250e6),
	} {
		if got, err := ParseTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-", "ago", "5 parsecs ago", "2026-13-01", "2026-02-30", "25:00", "Mon 2026-01-31",
		"@x", "@1.0000000001", "+9999999y", "+infinity", "1960-01-01", "2026-01-31 15:04 Nowhere/City", "a b c d"} {
		if got, err := ParseTime(text, now); err == nil || !strings.Contains(err.Error(), "give a time") {
			t.Errorf("%q is %v, %v; want an error that says what to give", text, got, err)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"now", "-1h30m", "2 hours ago", "2026-01-31 15:04:05.25 UTC", "Sat 2026-01-31", "@1.5",
		"yesterday 1:02", "+1.5y"} {
		f.Add(s)
	}
	now := time.Unix(1_700_000_000, 0).UTC()
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseTime(s, now)
		if err != nil {
			return
		}
		if y := got.Year(); y < 1970 || y > 9999 {
			t.Fatalf("%q is %v", s, got)
		}
		again, err := ParseTime(got.Format("2006-01-02 15:04:05.999999999 ")+"UTC", now)
		if got.Location() == time.UTC && (err != nil || !again.Equal(got)) {
			t.Fatalf("%q is %v, which reads as %v, %v", s, got, again, err)
		}
	})
}

func TestFilters(t *testing.T) {
	for text, want := range map[string]*Priorities{"": nil, "err": {0, 3}, "3": {0, 3}, "warning..err": {3, 4},
		"debug": {0, 7}, "panic": {0, 0}, "5..6": {5, 6}} {
		got, err := ParsePriorities(text)
		if err != nil || (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"loud", "8", "-1", "err..", "..", "1..2..3"} {
		if got, err := ParsePriorities(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
	for pattern, matches := range map[string]bool{"err": true, "ERR": false, "Err": true, "^err": true, "r.or$": true,
		"x": false} {
		re, err := ParseGrep(pattern)
		if err != nil || re.MatchString("Error") != matches {
			t.Errorf("%q: %v, %v", pattern, !matches, err)
		}
	}
	if _, err := ParseGrep("(("); err == nil {
		t.Error("a broken pattern is taken")
	}
	e := Entry{Time: epoch, Priority: Error, Message: "boom"}
	for _, c := range []struct {
		f    Filter
		want bool
	}{
		{Filter{}, true}, {Filter{Since: epoch, Until: epoch}, true}, {Filter{Since: epoch.Add(1)},
			false}, {Filter{Until: epoch.Add(-1)}, false},
		{Filter{Errors: true}, true},
		{Filter{Priorities: &Priorities{0, 2}}, false}, {Filter{Priorities: &Priorities{3, 3}}, true},
	} {
		if got := c.f.Match(&e); got != c.want {
			t.Errorf("%+v: %v", c.f, got)
		}
	}
}

func TestIsError(t *testing.T) {
	for message, want := range map[string]bool{"all is well": false, "An ERROR occurred": true, "kernel Panic": true,
		"it was fatal": true, "terror": true, "mirror of panics": true, "err": false, "": false} {
		if got := IsError(Info, message); got != want {
			t.Errorf("%q is an error: %v", message, got)
		}
	}
	if f := (Filter{Errors: true}); f.Match(&Entry{Priority: Info, Message: "all is well"}) {
		t.Error("a filter for errors lets others pass")
	}
	if !IsError(Error, "disk full") || IsError(Warning, "disk nearly full") {
		t.Error("priorities don't count")
	}
}

// TestParsePast: a time of day that is still to come is yesterday's, and nothing else is of the future.
func TestParsePast(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"04:00":            time.Date(2026, 3, 4, 4, 0, 0, 0, time.UTC),
		"23:50":            time.Date(2026, 3, 3, 23, 50, 0, 0, time.UTC),
		" 5:06:08 ":        time.Date(2026, 3, 3, 5, 6, 8, 0, time.UTC),
		"15m":              now.Add(-15 * time.Minute),
		"-15m":             now.Add(-15 * time.Minute),
		"now":              now,
		"yesterday 10:30":  time.Date(2026, 3, 3, 10, 30, 0, 0, time.UTC),
		"2026-02-27 10:30": time.Date(2026, 2, 27, 10, 30, 0, 0, time.UTC),
		"10:30 Asia/Tokyo": time.Date(2026, 3, 4, 1, 30, 0, 0, time.UTC),
	} {
		if got, err := ParsePast(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{"tomorrow": "still to come", "+5m": "still to come", "25:00": "is no time",
		"today 23:00": "still to come", "": "is no time"} {
		if got, err := ParsePast(text, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %v, %v; want an error that says %q", text, got, err, want)
		}
	}
}
