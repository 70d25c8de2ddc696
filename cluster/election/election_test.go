package election

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
)

const patience = 20 * time.Second

var quiet = slog.New(slog.DiscardHandler)

// daemon is one candidate.
type daemon struct {
	store   *memstore.Store
	session cluster.Session
	led     chan cluster.Leader // each time it begins to lead
	lost    chan cluster.Leader // each time it ends
	finish  chan error          // makes it stop leading
	stop    context.CancelFunc
	result  chan error // of Run
}

func start(t *testing.T, c *memstore.Cluster, machine string, ttl time.Duration) *daemon {
	t.Helper()
	d := &daemon{store: c.Open(), led: make(chan cluster.Leader, 10), lost: make(chan cluster.Leader, 10),
		finish: make(chan error), result: make(chan error, 1)}
	var err error
	d.session, err = d.store.Register(t.Context(), cluster.Run{Machine: machine, ID: "run of " + machine,
		Address: machine}, ttl)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	d.stop = stop
	over := make(chan struct{})
	go func() {
		defer close(over)
		d.result <- Run(ctx, d.store, d.session, quiet, func(ctx context.Context, l cluster.Leader) error {
			d.led <- l
			defer func() { d.lost <- l }()
			select {
			case <-ctx.Done():
				return ctx.Err()
			case err := <-d.finish:
				return err
			}
		})
	}()
	t.Cleanup(func() { stop(); <-over; d.store.Close() })
	return d
}

func take[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("waited too long for %s", what)
		panic("unreachable")
	}
}

func TestLeadershipPassesOn(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(t *testing.T, c *memstore.Cluster, first *daemon, l cluster.Leader)
		want error // of the first's Run, where it ends
	}{
		"when the context ends": {end: func(_ *testing.T, _ *memstore.Cluster, first *daemon,
			_ cluster.Leader) {
			first.stop()
		}},
		"when the run is evicted": {want: cluster.ErrSessionLost,
			end: func(t *testing.T, c *memstore.Cluster, _ *daemon, l cluster.Leader) {
				if err := c.Open().Evict(t.Context(), l.Machine, l.Run); err != nil {
					t.Error(err)
				}
			}},
		"when the session is closed": {want: cluster.ErrSessionLost,
			end: func(t *testing.T, _ *memstore.Cluster, first *daemon, _ cluster.Leader) {
				if err := first.session.Close(t.Context(), true); err != nil {
					t.Error(err)
				}
			}},
		"when the leader is cut off": {want: cluster.ErrSessionLost,
			end: func(_ *testing.T, _ *memstore.Cluster, first *daemon, _ cluster.Leader) {
				first.store.SetReachable(false)
			}},
	} {
		t.Run(name, func(t *testing.T) {
			cl := memstore.New()
			first := start(t, cl, "m1", 500*time.Millisecond)
			l := take(t, "the first leader", first.led)
			second := start(t, cl, "m2", time.Minute)
			c.end(t, cl, first, l)
			if over := take(t, "its end", first.lost); over != l {
				t.Errorf("ended %+v", over)
			}
			if err := take(t, "its Run", first.result); !errors.Is(err, c.want) {
				t.Errorf("Run returned %v, want %v", err, c.want)
			}
			if next := take(t, "the second leader", second.led); next.Term <= l.Term || next.Machine != "m2" {
				t.Errorf("after %+v came %+v", l, next)
			}
		})
	}
}

func TestResignedElsewhere(t *testing.T) {
	c := memstore.New()
	d := start(t, c, "m1", time.Minute)
	l := take(t, "the leader", d.led)
	if err := c.Open().Resign(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	take(t, "its end", d.lost)
	if again := take(t, "its next term", d.led); again.Term <= l.Term {
		t.Errorf("after %+v came %+v", l, again)
	}
}

func TestABrokenWatchIsNoLoss(t *testing.T) {
	c := memstore.New()
	d := start(t, c, "m1", time.Minute)
	l := take(t, "the leader", d.led)
	d.store.SetReachable(false)
	d.store.SetReachable(true)
	select {
	case <-d.lost:
		t.Fatal("it stopped leading")
	case <-time.After(4 * retryLeast):
	}
	// And it watches again.
	if err := c.Open().Resign(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	take(t, "its end", d.lost)
}

func TestFailingWorkGivesOthersATurn(t *testing.T) {
	c := memstore.New()
	a := start(t, c, "m1", time.Minute)
	take(t, "the first leader", a.led)
	b := start(t, c, "m2", time.Minute)
	a.finish <- errors.New("broken")
	take(t, "the second leader", b.led)
}

func TestOneLeadsAtATime(t *testing.T) {
	c := memstore.New()
	var leading atomic.Int32
	var all sync.WaitGroup
	terms := make(chan int64, 1000)
	ctx, stop := context.WithCancel(t.Context())
	for i := range 5 {
		s := c.Open()
		n, err := s.Register(t.Context(), cluster.Run{Machine: fmt.Sprintf("m%d", i), ID: "run"}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			err := Run(ctx, s, n, quiet, func(ctx context.Context, l cluster.Leader) error {
				if now := leading.Add(1); now != 1 {
					t.Errorf("%d lead at once", now)
				}
				defer leading.Add(-1)
				terms <- l.Term
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	last := int64(0)
	for range 20 {
		term := take(t, "a term", terms)
		if term <= last {
			t.Errorf("term %d after %d", term, last)
		}
		last = term
	}
	stop()
	all.Wait()
}
