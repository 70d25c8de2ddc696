package wording

import (
	"testing"
	"time"
)

func TestCount(t *testing.T) {
	for _, c := range []struct {
		n          int
		noun, want string
	}{{0, "unit", "0 units"}, {1, "unit", "1 unit"}, {2, "machine", "2 machines"}, {1, "entry", "1 entry"}, {12, "entry",
		"12 entries"}} {
		if got := Count(c.n, c.noun); got != c.want {
			t.Errorf("Count(%d, %q) = %q, want %q", c.n, c.noun, got, c.want)
		}
	}
}

func TestNumber(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 3214: "3,214", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := Number(n); got != want {
			t.Errorf("Number(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0 s", 4900 * time.Millisecond: "4 s", 3 * time.Minute: "3 min",
		47 * time.Hour: "47 h", 51 * time.Hour: "2 d"} {
		if got := Span(d); got != want {
			t.Errorf("Span(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 854 * time.Millisecond: "850ms", 12*time.Second + 900*time.Millisecond: "12s", 3*time.Minute +
			59*time.Second: "3min",
		4*time.Hour + 10*time.Minute: "4h 10min", 51 * time.Hour: "2d 3h",
	} {
		if got := Age(d); got != want {
			t.Errorf("Age(%v) = %q, want %q", d, got, want)
		}
	}
}
