package cli

import (
	"strings"
	"testing"
	"time"

	"fleettop/daemon/api"
)

// TestWhereabouts: a unit that nothing is known of is said to be so in a sentence.
func TestWhereabouts(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ago := now.Add(-11 * time.Second)
	there := api.Store{Connected: true}
	for name, tt := range map[string]struct {
		place api.Place
		store api.Store
		want  string
	}{
		"here": {api.Place{Name: "n1", Placed: ago, Active: "active", Sub: "running"}, there,
			"it is on n1 since …: active (running)"},
		"here, nothing said": {api.Place{Name: "n1", Placed: ago}, there, "it is on n1 since …: nothing is reported of it"},
		"failed": {api.Place{Name: "n1", Lost: "failed", LostSince: ago}, there,
			"it was on n1, which is failed since …: nothing is reported of it"},
		"no store": {api.Place{Name: "n1"}, api.Store{Since: ago},
			"it was on n1 when the store was last seen, 11s ago: nothing is reported of it"},
	} {
		got := strings.ReplaceAll(whereabouts(tt.place, tt.store, now), strings.TrimPrefix(since(ago, now), " since "), "…")
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
