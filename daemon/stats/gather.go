package stats

import (
	"context"
	"slices"
	"sync"
	"time"
)

// gather asks machines at once, this one among them, and returns what they say in the order of their
// IDs: all that live where none is named. One that fails, or takes longer than within, is passed to
// failed, which may say something in its stead; where failed is nil it says nothing.
func gather[T any](ctx context.Context, s *Service, machines []string, within time.Duration,
	ask func(ctx context.Context, id string) ([]T, error), failed func(id string, err error) T) []T {
	alive := s.alive()
	if len(machines) == 0 {
		for id := range alive {
			machines = append(machines, id)
		}
	}
	machines = slices.Clone(machines)
	slices.Sort(machines)
	machines = slices.Compact(machines)
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	answers := make([][]T, len(machines))
	var asking sync.WaitGroup
	for i, id := range machines {
		if !alive[id] {
			continue
		}
		asking.Go(func() {
			list, err := ask(ctx, id)
			if err != nil {
				s.cfg.Log.Debug("a machine tells no figures", "machine", id, "error", err)
				if failed == nil {
					return
				}
				list = []T{failed(id, err)}
			}
			answers[i] = list
		})
	}
	asking.Wait()
	return slices.Concat(answers...)
}
