package agent

import (
	"context"
	"errors"
	"fmt"

	"fleettop/units"
)

// release is a request to give a unit to the host.
type release struct {
	unit   string
	flight chan *flight // gets the flight that does it; closed without one if the unit is busy
}

// Release gives a unit to the host, see units.Host, and returns the path of
// its file there. The agent doesn't take the unit back while its assignment
// stays as it is. It blocks until that is done or ctx ends. The error is
// units.ErrNotLoaded if the unit isn't held.
func (a *Agent) Release(ctx context.Context, unit string) (path string, err error) {
	if _, ok := a.cfg.Manager.(units.Host); !ok {
		return "", errors.New("this machine's manager runs units without systemd, so there is no host to give them to")
	}
	r := &release{unit: unit, flight: make(chan *flight, 1)}
	select {
	case a.releases <- r:
	case <-ctx.Done():
		return "", fmt.Errorf("release %s: %w", unit, ctx.Err())
	}
	f, ok := <-r.flight
	if !ok {
		return "", fmt.Errorf("%s is just being changed on this machine; try again when that is done", unit)
	}
	select {
	case <-f.landed:
	case <-ctx.Done():
		return "", fmt.Errorf("release %s: %w", unit, ctx.Err())
	}
	return f.path, errors.Join(f.err, f.errs[unit])
}

// release sets a release going, unless something else is being done with the unit.
func (a *Agent) release(ctx context.Context, r *release) {
	defer close(r.flight)
	if a.flights[r.unit] != nil {
		return
	}
	f := a.fly(ctx, Release, []Step{{Kind: Release, Unit: r.unit, Assignment: a.want[r.unit]}})
	r.flight <- f
}

// released notes what became of a release.
func (a *Agent) released(s Step, path string, err error) {
	if err != nil {
		return // the caller is told
	}
	n := noteOf(s.Assignment)
	n.Error = "released: it runs on under this machine's own file " + path
	a.note(s.Unit, n)
	a.drops(s.Unit)
}
