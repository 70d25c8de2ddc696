package presence

import (
	"context"
	"errors"
	"time"

	"fleettop/cluster"
)

const farewellLimit = 1500 * time.Millisecond

// Announce tells the cluster how this daemon leaves, so that it need not guess.
// It blocks for a second and a half at most; what fails is logged.
func (r *Registration) Announce(ctx context.Context, d cluster.Departure) {
	if !r.cfg.Etcd.Admitted() {
		return // the cluster doesn't know this machine
	}
	ctx, cancel := context.WithTimeout(ctx, farewellLimit)
	defer cancel()
	err := r.cfg.Store.UpdateMachine(ctx, r.cfg.Run.Machine, func(m *cluster.Machine) error {
		if m.GossipAddress != r.cfg.Machine.GossipAddress {
			return cluster.ErrNotFound // never registered, or it is the record of the one whose identity this has
		}
		m.Departure, m.DepartureAt = d, time.Now()
		return nil
	})
	if err != nil && !errors.Is(err, cluster.ErrNotFound) {
		r.log.Warn("left without a goodbye; the cluster will find out by itself", "error", err)
	}
}

// Close ends the session. It leaves the statuses standing for the next daemon,
// unless there won't be one.
func (r *Registration) Close(ctx context.Context, d cluster.Departure) {
	s, _ := r.Session()
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, farewellLimit)
	defer cancel()
	if err := s.Close(ctx, d != cluster.Restarting); err != nil {
		r.log.Debug("the session was not closed", "error", err)
	}
}

// Remove deletes the record of a machine that leaves for good. It may be called again,
// and after an error should be.
func (r *Registration) Remove(ctx context.Context) error {
	err := r.cfg.Store.DeleteMachine(ctx, r.cfg.Run.Machine)
	if errors.Is(err, cluster.ErrNotFound) {
		return nil
	}
	return err
}
