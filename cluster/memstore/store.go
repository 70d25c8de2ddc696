package memstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/internal/feed"
)

var _ cluster.Store = (*Store)(nil)

// Store is one client of a Cluster. It is safe for several goroutines.
type Store struct {
	cluster   *Cluster
	reachable bool // guarded by cluster.mu, as is closed
	closed    bool
}

// SetReachable cuts the store off from its cluster, or reconnects it. While it
// is cut off its calls fail with cluster.ErrUnavailable, its watches break and
// its sessions are not renewed.
func (s *Store) SetReachable(reachable bool) {
	c := s.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.closed || s.reachable == reachable {
		return
	}
	s.reachable = reachable
	if !reachable {
		c.breakWatches(s)
	}
	c.changed.Notify()
}

// Close ends the store's watches and stops renewing its sessions.
func (s *Store) Close() error {
	s.SetReachable(false)
	s.cluster.mu.Lock()
	defer s.cluster.mu.Unlock()
	s.closed = true
	return nil
}

// usable tells why a call can't be made; cluster.mu is held.
func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.reachable {
		return fmt.Errorf("memory store: %w", cluster.ErrUnavailable)
	}
	return nil
}

// enter takes the lock for a call, if the call can be made.
func (s *Store) enter(ctx context.Context) (leave func(), err error) {
	s.cluster.mu.Lock()
	if err := s.usable(ctx); err != nil {
		s.cluster.mu.Unlock()
		return nil, err
	}
	return s.cluster.mu.Unlock, nil
}

// Watch implements cluster.Store. A change is in the channel by the time the
// call that made it returns.
func (s *Store) Watch(ctx context.Context, scope cluster.Scope) (*cluster.Snapshot, <-chan cluster.Change, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	c := s.cluster
	w := &watch{store: s, scope: scope, feed: feed.New()}
	c.watches[w] = struct{}{}
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watches, w)
		w.feed.Close()
	})
	return scopedSnapshot(c.snap, scope), w.feed.C(), nil
}

// PutUnits implements cluster.Store.
func (s *Store) PutUnits(ctx context.Context, list []cluster.Unit) ([]error, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	errs := make([]error, len(list))
	change := cluster.Change{Units: map[string]*cluster.Unit{}}
	for i, u := range list {
		old, exists := s.cluster.snap.Units[u.Name]
		if newer := change.Units[u.Name]; newer != nil {
			old, exists = *newer, true
		}
		switch {
		case u.Generation < 1:
			errs[i] = fmt.Errorf("put %s: generation %d is not a generation: the first is 1", u.Name, u.Generation)
		case u.Generation == 1 && exists:
			errs[i] = fmt.Errorf("put %s: %w", u.Name, cluster.ErrExists)
		case u.Generation > 1 && !exists:
			errs[i] = fmt.Errorf("put %s: %w", u.Name, cluster.ErrNotFound)
		case exists && old.Generation != u.Generation-1:
			errs[i] = fmt.Errorf("put %s: %w", u.Name, cluster.ErrConflict)
		default:
			change.Units[u.Name] = &u
		}
	}
	if change.Size() > 0 {
		s.cluster.commit(change)
	}
	return errs, nil
}

// DeleteUnits implements cluster.Store.
func (s *Store) DeleteUnits(ctx context.Context, names []string) ([]error, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	errs := make([]error, len(names))
	change := cluster.Change{Units: map[string]*cluster.Unit{}}
	for i, name := range names {
		_, exists := s.cluster.snap.Units[name]
		if _, deleted := change.Units[name]; deleted || !exists {
			errs[i] = fmt.Errorf("delete %s: %w", name, cluster.ErrNotFound)
			continue
		}
		change.Units[name] = nil
	}
	if change.Size() > 0 {
		s.cluster.commit(change)
	}
	return errs, nil
}

// UpdateMachine implements cluster.Store.
func (s *Store) UpdateMachine(ctx context.Context, id string, f func(*cluster.Machine) error) error {
	for {
		before, existed, err := s.machine(ctx, id)
		if err != nil {
			return err
		}
		after := before
		after.ID, after.Metadata, after.Overrides = id, maps.Clone(before.Metadata), maps.Clone(before.Overrides)
		if err := f(&after); err != nil {
			return err
		}
		after.ID, after.Metadata, after.Overrides = id, maps.Clone(after.Metadata), maps.Clone(after.Overrides)
		written, err := s.replaceMachine(ctx, before, existed, after)
		if written || err != nil {
			return err
		}
	}
}

func (s *Store) machine(ctx context.Context, id string) (cluster.Machine, bool, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return cluster.Machine{}, false, err
	}
	defer leave()
	m, ok := s.cluster.snap.Machines[id]
	if !ok {
		m.Overrides = s.cluster.left[id]
	}
	return m, ok, nil
}

// replaceMachine writes a record if it is still what it was before.
func (s *Store) replaceMachine(ctx context.Context, before cluster.Machine, existed bool,
	after cluster.Machine) (bool, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	now, exists := s.cluster.snap.Machines[after.ID]
	if exists != existed || exists && !reflect.DeepEqual(now, before) {
		return false, nil
	}
	s.cluster.commit(cluster.Change{Machines: map[string]*cluster.Machine{after.ID: &after}})
	return true, nil
}

// DeleteMachine implements cluster.Store.
func (s *Store) DeleteMachine(ctx context.Context, id string) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	m, ok := s.cluster.snap.Machines[id]
	if !ok {
		return fmt.Errorf("delete machine %s: %w", id, cluster.ErrNotFound)
	}
	s.cluster.left[id] = m.Overrides
	s.cluster.commit(cluster.Change{Machines: map[string]*cluster.Machine{id: nil}})
	return nil
}

// Record implements cluster.Store.
func (s *Store) Record(ctx context.Context, events ...cluster.Event) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if len(events) > 0 {
		s.cluster.appendEvents(events)
	}
	return nil
}

// Events implements cluster.Store.
func (s *Store) Events(ctx context.Context, since time.Time, limit int) ([]cluster.Event, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	list := s.cluster.events
	first := slices.IndexFunc(list, func(e cluster.Event) bool { return !e.Time.Before(since) })
	if first < 0 {
		return nil, nil
	}
	list = list[first:]
	if limit > 0 && len(list) > limit {
		list = list[len(list)-limit:]
	}
	return slices.Clone(list), nil
}

// ClusterID implements cluster.Store.
func (s *Store) ClusterID(ctx context.Context) (string, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	if id := s.cluster.snap.ClusterID; id != "" {
		return id, nil
	}
	var raw [16]byte
	rand.Read(raw[:])
	id := hex.EncodeToString(raw[:])
	s.cluster.commit(cluster.Change{ClusterID: &id})
	return id, nil
}

// EventsAfter implements cluster.Store.
func (s *Store) EventsAfter(ctx context.Context, after, upTo int64) (list []cluster.Event, err error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, r := range s.cluster.recorded {
		if r.revision > after && r.revision <= upTo {
			list = append(list, r.event)
		}
	}
	return list, nil
}

// Told implements cluster.Store.
func (s *Store) Told(ctx context.Context, receiver string) (int64, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	return s.cluster.told[receiver], nil
}

// SetTold implements cluster.Store.
func (s *Store) SetTold(ctx context.Context, receiver string, revision int64) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	s.cluster.told[receiver] = max(s.cluster.told[receiver], revision)
	return nil
}
