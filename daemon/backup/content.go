package backup

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
)

// Content is what a backup holds. It has no key of the cluster.
type Content struct {
	Header
	Units    []Unit            // by name
	Machines []cluster.Machine // by ID
	Events   []cluster.Event   // of the timeline, oldest first
}

// Unit is a unit of a backup.
type Unit struct {
	cluster.Unit
	// Finished says that it runs once, and had run and ended well.
	Finished bool `json:"finished,omitempty"`
}

// Store is the part of cluster.Store that a backup is read from.
type Store interface {
	Watch(ctx context.Context, scope cluster.Scope) (*cluster.Snapshot, <-chan cluster.Change, error)
	EventsAfter(ctx context.Context, after, upTo int64) ([]cluster.Event, error)
}

// Collect reads a cluster's state at one revision. The header has the cluster and
// the revision; the caller adds the rest. It blocks until ctx ends where the store
// doesn't answer.
func Collect(ctx context.Context, store Store) (*Content, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	snap, _, err := store.Watch(ctx, cluster.Scope{})
	if err != nil {
		return nil, fmt.Errorf("read the cluster's state: %w", err)
	}
	events, err := store.EventsAfter(ctx, 0, snap.Revision)
	if err != nil {
		return nil, err
	}
	c := &Content{Header: Header{Cluster: snap.ClusterID, Revision: snap.Revision}, Events: events}
	slices.SortFunc(c.Events, func(a, b cluster.Event) int { return strings.Compare(a.ID, b.ID) })
	finished := map[string]bool{}
	for at, a := range snap.Assignments {
		if u, known := snap.Units[at.Unit]; known && a.Finished && a.Generation == u.Generation {
			finished[at.Unit] = true
		}
	}
	for name, u := range snap.Unplaced {
		if unit, known := snap.Units[name]; known && u.Finished && u.Generation == unit.Generation {
			finished[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(snap.Units)) {
		c.Units = append(c.Units, Unit{Unit: snap.Units[name], Finished: finished[name]})
	}
	for _, id := range slices.Sorted(maps.Keys(snap.Machines)) {
		c.Machines = append(c.Machines, snap.Machines[id])
	}
	return c, nil
}

// Make collects a cluster's state and writes it, as the daemon of a machine.
func Make(ctx context.Context, store Store, machine, software string, now time.Time) (*Content, error) {
	c, err := Collect(ctx, store)
	if err != nil {
		return nil, err
	}
	c.Machine, c.Software, c.Time = machine, software, now.UTC()
	return c, nil
}
