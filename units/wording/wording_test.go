package wording

import "testing"

func TestCount(t *testing.T) {
	for _, c := range []struct {
		n          int
		noun, want string
	}{{0, "unit", "0 units"}, {1, "unit", "1 unit"}, {2, "machine", "2 machines"}, {1, "entry", "1 entry"}, {12, "entry", "12 entries"}} {
		if got := Count(c.n, c.noun); got != c.want {
			t.Errorf("Count(%d, %q) = %q, want %q", c.n, c.noun, got, c.want)
		}
	}
}
