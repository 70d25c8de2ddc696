//go:build e2e

package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	"fleettop/daemon/api"
)

// TestStats measures a unit that takes a core and one that sleeps, from
// whichever machine is asked.
func TestStats(t *testing.T) {
	f := newFleet(t, 2, setup{unwatched: true})
	f.start(f.machines[0], map[string]string{"busy.service": "[Service]\nExecStart=/bin/bash -c 'while :; do :; done'\n",
		"idle.service": sleeper()})
	for _, m := range f.machines {
		machines, seen := map[string]bool{}, map[string]api.UnitStats{}
		ctx, cancel := context.WithTimeout(f.ctx, soon)
		enough := errors.New("enough")
		err := f.client(m).Stats(ctx, func(s api.Stats) error {
			machines[s.Machine] = true
			if s.CPUs < 1 || s.Memory <= 0 || s.MemoryTotal < s.Memory || s.CPU <= 0 ||
				time.Since(s.Time).Abs() > 5*time.Second {
				t.Errorf("%+v", s)
			}
			for _, u := range s.Units {
				seen[u.Name] = u
			}
			if len(machines) == 2 && seen["busy.service"].CPU > 0.05 && seen["idle.service"].Memory > 0 {
				return enough
			}
			return nil
		})
		cancel()
		if !errors.Is(err, enough) {
			t.Fatalf("asked on %s: %v; seen %+v of %d machines", m.Name, err, seen, len(machines))
		}
		if idle := seen["idle.service"]; idle.CPU > 0.05 {
			t.Errorf("a unit that sleeps uses %v of a core", idle.CPU)
		}
		t.Logf("asked on %s: %+v", m.Name, seen)
	}
}
