package cluster_test

import (
	"testing"

	"fleettop/cluster"
	"fleettop/units"
)

func TestUnitState(t *testing.T) {
	launched := func(active, sub, result string) cluster.Standing {
		return cluster.Standing{Desired: units.Launched, Generation: 2, Carried: 2, Placed: true, Health: cluster.Up,
			Status: units.Status{Load: "loaded", Active: active, Sub: sub, Result: result}}
	}
	with := func(s cluster.Standing, f func(*cluster.Standing)) cluster.Standing { f(&s); return s }
	for want, list := range map[cluster.UnitState][]cluster.Standing{
		cluster.UnitInactive: {{Desired: units.Inactive}},
		cluster.UnitUnplaced: {{Desired: units.Launched, Unplaced: "no machine fits"}},
		cluster.UnitWaiting:  {{Desired: units.Launched}},
		cluster.UnitLost: {
			with(launched("active", "running", ""), func(s *cluster.Standing) { s.Health = cluster.Failed }),
			with(launched("failed", "failed", ""), func(s *cluster.Standing) { s.Health, s.Error = cluster.Down, "old" })},
		cluster.UnitSuspect: {with(launched("active", "running", ""),
			func(s *cluster.Standing) { s.Health = cluster.Suspect })},
		cluster.UnitActive: {launched("active", "running", "success"),
			with(launched("active", "running", ""), func(s *cluster.Standing) { s.Health = cluster.DaemonGone }),
			with(launched("active", "running", ""), func(s *cluster.Standing) { s.Desired = units.Loaded })},
		cluster.UnitRetrying: {with(launched("failed", "failed", "exit-code"), func(s *cluster.Standing) { s.Retrying = true })},
		cluster.UnitError: {with(launched("inactive", "dead", ""),
			func(s *cluster.Standing) { s.Error = "no such program" })},
		cluster.UnitChanging: {with(launched("active", "running", ""), func(s *cluster.Standing) { s.Carried = 1 })},
		cluster.UnitCrashing: {
			with(launched("active", "running", ""), func(s *cluster.Standing) { s.Crashing = true }),
			with(launched("activating", "start", ""), func(s *cluster.Standing) { s.Crashing = true }),
			with(launched("deactivating", "stop-sigterm", ""), func(s *cluster.Standing) { s.Crashing = true }),
			with(launched("activating", "auto-restart", ""), func(s *cluster.Standing) { s.Status.Restarts = 3 })},
		cluster.UnitStarting: {launched("activating", "auto-restart", ""), launched("activating", "start", ""),
			launched("", "", ""),
			with(launched("inactive", "dead", "success"), func(s *cluster.Standing) { s.Carried = 1 })},
		cluster.UnitSkipped:  {launched("inactive", "dead", units.ResultCondition)},
		cluster.UnitFinished: {launched("inactive", "dead", "success")},
		cluster.UnitStopped: {
			with(launched("inactive", "dead", "success"), func(s *cluster.Standing) { s.Status.ByHand = units.HandStopped }),
			with(launched("inactive", "dead", "success"), func(s *cluster.Standing) { s.Status.ByHand = units.HandReset })},
		cluster.UnitFailed: {launched("inactive", "dead", "exit-code"), launched("failed", "failed", "signal")},
		cluster.UnitStopping: {launched("deactivating", "stop", ""),
			with(launched("active", "running", ""), func(s *cluster.Standing) { s.Leaving = true }),
			with(launched("activating", "start", ""), func(s *cluster.Standing) { s.Desired, s.Carried = units.Loaded, 1 }),
			with(launched("deactivating", "stop", ""), func(s *cluster.Standing) { s.Desired = units.Loaded })},
		cluster.UnitLoaded:  {with(launched("inactive", "dead", ""), func(s *cluster.Standing) { s.Desired = units.Loaded })},
		cluster.UnitLoading: {with(launched("", "", ""), func(s *cluster.Standing) { s.Desired = units.Loaded })},
		"bad-setting": {with(launched("inactive", "dead", ""),
			func(s *cluster.Standing) { s.Status.Load = "bad-setting" })},
	} {
		for _, s := range list {
			if got := s.State(); got != want {
				t.Errorf("%+v is %s, want %s", s, got, want)
			}
		}
	}
}

func TestCurrent(t *testing.T) {
	status := func(epoch, generation int64, active string) *cluster.Status {
		return &cluster.Status{Epoch: epoch, Generation: generation, Status: units.Status{Load: "loaded", Active: active}}
	}
	launched := &cluster.Assignment{Epoch: 7, Generation: 3, Desired: units.Launched}
	loaded := &cluster.Assignment{Epoch: 7, Generation: 3, Desired: units.Loaded}
	for _, c := range []struct {
		name string
		a    *cluster.Assignment
		s    *cluster.Status
		want units.DesiredState
	}{
		{"on no machine", nil, status(7, 3, "active"), units.Inactive},
		{"not reported", launched, nil, units.Inactive},
		{"reported of an earlier stay", launched, status(6, 3, "active"), units.Inactive},
		{"could not be loaded", launched, &cluster.Status{Epoch: 7, Generation: 3, Status: units.Status{Load: "bad-setting"}},
			units.Inactive},
		{"started", launched, status(7, 3, "active"), units.Launched},
		{"started, and ended since", launched, status(7, 3, "inactive"), units.Launched},
		{"to be started", launched, status(7, 2, "inactive"), units.Loaded},
		{"to be restarted", launched, status(7, 2, "active"), units.Launched},
		{"to be stopped", loaded, status(7, 2, "active"), units.Launched},
		{"on its way down", loaded, status(7, 2, "deactivating"), units.Launched},
		{"stopped", loaded, status(7, 3, "inactive"), units.Loaded},
	} {
		if got := cluster.Current(c.a, c.s); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
