package timespan

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"0": 0, "90": 90 * time.Second, "5min 20s": 320 * time.Second, "5min20s": 320 * time.Second,
		" 250ms ": 250 * time.Millisecond,
		"1.5h":    90 * time.Minute, "2 days 3 hours": 51 * time.Hour, "1w": 168 * time.Hour, "100us": 100 * time.Microsecond,
		"infinity": Infinity, "1M": month, "1y": year, ".5s": 500 * time.Millisecond, "3 µs": 3 * time.Microsecond,
		"3 μs": 3 * time.Microsecond,
	} {
		if got, err := Parse(in); err != nil || got != want {
			t.Errorf("Parse(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "abc", "-5", "5 parsecs", "1.2.3", "999999999y", "infinity 5s", "5s infinity"} {
		if got, err := Parse(in); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", in, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)/1000).Draw(t, "µs")) * time.Microsecond
		h, m := d/time.Hour, d%time.Hour/time.Minute
		s := strings.Join([]string{itoa(h) + "h", itoa(m) + "min", itoa(d%time.Minute/time.Microsecond) + "us"},
			rapid.SampledFrom([]string{"", " ", "  "}).Draw(t, "gap"))
		if got, err := Parse(s); err != nil || got != d {
			t.Fatalf("Parse(%q) = %v, %v, want %v", s, got, err, d)
		}
	})
}

func itoa(d time.Duration) string { return strconv.FormatInt(int64(d), 10) }
