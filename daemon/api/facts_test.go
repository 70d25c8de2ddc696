package api

import (
	"fmt"
	"log/slog"
	"testing"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
	"fleettop/daemon/view"
)

// TestFactsOfUnitsThatAreGoneGo with a watch alone to see them come and go.
func TestFactsOfUnitsThatAreGoneGo(t *testing.T) {
	store := memstore.New().Open()
	v := view.New(store, slog.New(slog.DiscardHandler), 0)
	lease := v.Hold()
	defer lease.Release()
	s := NewServer(Config{Store: store, View: v, Health: noHealth{}})
	wa := &watcher{s: s, lease: lease, units: newSelector(nil), machines: newSelector(nil), snap: cluster.NewSnapshot(0)}
	for n := range 1000 {
		snap := cluster.NewSnapshot(int64(n))
		name := fmt.Sprintf("churn@%d.service", n)
		snap.Units[name] = cluster.Unit{Name: name, Hash: "x", Generation: 1}
		wa.advance(&Line{}, snap, nil)
	}
	if n := len(s.facts.known); n > 100 {
		t.Errorf("facts of %d units are kept, and there is one", n)
	}
}

type noHealth struct{}

// Health implements Health.
func (noHealth) Health() map[string]cluster.Health { return nil }

// Changed implements Health.
func (noHealth) Changed() <-chan struct{} { return nil }
