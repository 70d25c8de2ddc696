package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"fleettop/cluster"
	"fleettop/cluster/internal/feed"
	"fleettop/units"
)

func TestRenewals(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		every time.Duration
		left  []int64 // as etcd answers, one look after the other
		want  int
	}{
		"nobody renews":             {200 * time.Millisecond, []int64{2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0}, 0},
		"nobody renews, slow looks": {time.Second, []int64{2, 1, 0}, 0},
		"renewed once":              {500 * time.Millisecond, []int64{2, 1, 1, 2, 2, 1, 1, 0, 0}, 1},
		"renewed each second":       {500 * time.Millisecond, []int64{2, 2, 2, 2, 2, 2, 2}, 3},
		"zero proves nothing":       {500 * time.Millisecond, []int64{0, 0, 0, 0, 0}, 0},
	} {
		var r renewals
		got := 0
		for i, left := range c.left {
			at := start.Add(time.Duration(i) * c.every)
			got = r.observe(left, at, at)
		}
		if got != c.want {
			t.Errorf("%s: counted %d, want %d", name, got, c.want)
		}
	}
}

// TestRenewalsNeverImagined: a lease that nobody renews is never taken for
// renewed, however the looks at it are timed.
func TestRenewalsNeverImagined(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		start := time.Unix(1000, 0)
		ends := time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(r, "left"))
		var seen renewals
		at := time.Duration(0)
		for range rapid.IntRange(1, 30).Draw(r, "looks") {
			before := at
			answered := before + time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(r, "request"))
			after := answered + time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(r, "answer"))
			left := int64((ends - answered).Seconds()) // etcd rounds toward zero
			if seen.observe(left, start.Add(before), start.Add(after)) > 0 {
				r.Fatalf("imagined a renewal")
			}
			at = after + time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(r, "pause"))
		}
	})
}

func TestBatchesFitTransactions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		var steps []*step
		for i := range rapid.IntRange(0, 400).Draw(r, "steps") {
			st := &step{index: i, size: rapid.IntRange(0, 300<<10).Draw(r, "size")}
			st.writes = []clientv3.Op{clientv3.OpPut(fmt.Sprint(rapid.IntRange(0, 300).Draw(r, "key")), "")}
			st.reads = make([]clientv3.Op, rapid.IntRange(1, 3).Draw(r, "reads"))
			steps = append(steps, st)
		}
		order := map[string]int{} // by key: the last step seen
		total := 0
		for _, wave := range waves(steps) {
			keys := map[string]bool{}
			for _, batch := range batches(wave) {
				reads, size := 1, 0
				for _, st := range batch {
					k := st.keys()[0]
					if keys[k] {
						r.Fatalf("%s is written twice at once", k)
					}
					if last, ok := order[k]; ok && last > st.index {
						r.Fatalf("step %d after step %d of the same key", st.index, last)
					}
					keys[k], order[k] = true, st.index
					reads, size, total = reads+len(st.reads), size+st.size, total+1
				}
				if reads > mostOps || size > mostBytes {
					r.Fatalf("a batch of %d reads and %d bytes", reads, size)
				}
			}
		}
		if total != len(steps) {
			r.Fatalf("%d of %d steps", total, len(steps))
		}
	})
}

func TestErrors(t *testing.T) {
	t.Parallel()
	s := opener(t)()
	expired, cancel := context.WithTimeout(context.Background(), 0)
	defer cancel()
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		ctx         context.Context
		err         error
		unavailable bool
	}{
		{context.Background(), rpctypes.ErrNoLeader, true},
		{context.Background(), rpctypes.ErrLeaderChanged, true},
		{context.Background(), rpctypes.ErrTimeoutDueToConnectionLost, true},
		{context.Background(), rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner), true},
		{context.Background(), rpctypes.ErrGRPCNotSupportedForLearner, true},
		{context.Background(), status.Error(codes.Unavailable, "connection refused"), true},
		{context.Background(), status.Error(codes.DeadlineExceeded, "late"), true},
		{context.Background(), context.DeadlineExceeded, true},
		{context.Background(), clientv3.ErrNoAvailableEndpoints, true},
		{expired, status.Error(codes.DeadlineExceeded, "late"), true},
		{canceled, status.Error(codes.Unavailable, "connection refused"), false},
		{context.Background(), rpctypes.ErrNoSpace, false},
		{context.Background(), rpctypes.ErrLeaseNotFound, false},
		{context.Background(), errors.New("something else"), false},
	} {
		got := s.wrap(c.ctx, c.err)
		if errors.Is(got, cluster.ErrUnavailable) != c.unavailable {
			t.Errorf("%v: %v", c.err, got)
		}
	}
	if s.wrap(canceled, nil) != nil {
		t.Error("a success became an error")
	}
	unusable := new(cluster.UnusableError)
	for _, err := range []error{rpctypes.ErrPermissionDenied, rpctypes.Error(rpctypes.ErrGRPCUserEmpty),
		rpctypes.ErrGRPCPermissionDenied} {
		if got := s.wrap(context.Background(), err); !errors.As(got, &unusable) || !errors.Is(got, cluster.ErrUnavailable) {
			t.Errorf("%v: %v; expected an UnusableError", err, got)
		}
	}
	s.trouble = func() error { return &cluster.UnusableError{Cause: "connection refused"} }
	if got := s.wrap(expired, context.DeadlineExceeded); !errors.As(got, &unusable) ||
		unusable.Cause != "connection refused" {
		t.Errorf("without an answer, for a reason that is known: %v", got)
	}
}

// TestBadValues: what somebody wrote by hand is skipped and logged once.
func TestBadValues(t *testing.T) {
	t.Parallel()
	s := opener(t)()
	var log strings.Builder
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	ctx := t.Context()
	kinds := []string{"unit/bad.service", "assignment/m1/bad.service", "status/m1/bad.service", "machine/m1", "alive/m1",
		"leader", "event/x", "what/ever"}
	write := func(value string) {
		for _, k := range kinds {
			if _, err := s.client.Put(ctx, s.keys.prefix+k, value); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("{")
	snap, changes, err := s.Watch(ctx, cluster.Scope{Events: true})
	if err != nil || len(snap.Units)+len(snap.Assignments)+len(snap.Statuses)+len(snap.Machines)+len(snap.Runs) != 0 ||
		snap.Leader.Term != 0 {
		t.Fatalf("%+v, %v", snap, err)
	}
	write("}")
	if err := s.UpdateMachine(ctx, "m1", func(m *cluster.Machine) error { m.Version = "mended"; return nil }); err != nil {
		t.Fatal(err)
	}
	for snap.Machines["m1"].Version != "mended" {
		select {
		case c, ok := <-changes:
			if !ok {
				t.Fatal("the watch ended")
			}
			snap = snap.With(c)
		case <-time.After(patience):
			t.Fatal("the watch is stuck")
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.owns = false
	if n := strings.Count(log.String(), "can't be read"); n != len(kinds)-1 {
		t.Errorf("%d complaints about %d values:\n%s", n, len(kinds)-1, log.String())
	}
}

// TestCompaction: history may be thrown away at any time.
func TestCompaction(t *testing.T) {
	t.Parallel()
	s := opener(t)()
	f := feed.New()
	responses := make(chan clientv3.WatchResponse, 1)
	responses <- clientv3.WatchResponse{CompactRevision: 7, Canceled: true}
	s.pump(responses, cluster.Scope{}, true, f) // returns, though the channel stays open

	for i := range int64(3) {
		errs, err := s.PutUnits(t.Context(), []cluster.Unit{{Name: "a.service", Generation: i + 1}})
		if err != nil || errs[0] != nil {
			t.Fatal(err, errs)
		}
		snap, _, err := s.Watch(t.Context(), cluster.Scope{})
		if err != nil || snap.Units["a.service"].Generation != i+1 {
			t.Fatalf("%+v, %v", snap, err)
		}
		if _, err := s.client.Compact(t.Context(), snap.Revision); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
			t.Fatal(err)
		}
	}
}

func TestTimelineIsTrimmed(t *testing.T) {
	t.Parallel()
	s := opener(t)()
	now := time.Now()
	s.now = func() time.Time { return now }
	record := func(n int, at time.Time) {
		t.Helper()
		events := make([]cluster.Event, n)
		for i := range events {
			events[i] = cluster.Event{Time: at.Add(time.Duration(i)), Text: fmt.Sprint(i)}
		}
		if err := s.Record(t.Context(), events...); err != nil {
			t.Fatal(err)
		}
	}
	record(1, now.Add(-longestAge-time.Hour)) // the first call trims at once
	record(50, now.Add(-longestAge-time.Hour))
	if list, err := s.Events(t.Context(), time.Time{}, 0); err != nil || len(list) != 0 {
		t.Errorf("%d events older than a week, %v", len(list), err)
	}
	record(mostEvents+300, now.Add(-time.Hour))
	count, err := s.get(t.Context(), s.keys.event(""), clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || count.Count != mostEvents {
		t.Errorf("%d events are kept, %v", count.Count, err)
	}
	list, err := s.Events(t.Context(), time.Time{}, 0)
	if err != nil || len(list) != mostEvents || list[0].Text != "300" {
		t.Errorf("%d events, the first is %+v, %v", len(list), list[:1], err)
	}
}

func TestTooBig(t *testing.T) {
	t.Parallel()
	s := opener(t)()
	errs, err := s.PutUnits(t.Context(), []cluster.Unit{
		{Name: "big.service", Generation: 1, Content: strings.Repeat("\x01", 256<<10)}, {Name: "small.service",
			Generation: 1}})
	if err != nil || errs[0] == nil || errs[1] != nil || !strings.Contains(errs[0].Error(), "smaller") {
		t.Errorf("%v, %v", errs, err)
	}
}

// What is reported waits for a renewal of the lease that is late.
func TestReportsYieldToRenewals(t *testing.T) {
	t.Parallel()
	s := opener(t)()
	held, err := s.Register(t.Context(), cluster.Run{Machine: "m", ID: "r", Address: "a"}, 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	real := held.(*session)
	// The same session, which nothing renews.
	late := &session{store: s, lease: real.lease, run: real.run, ttl: real.ttl, ctx: real.ctx, end: real.end,
		renewed: time.Now().Add(-real.ttl * 3 / 4)}
	result := make(chan error, 1)
	go func() {
		result <- late.PutStatuses(t.Context(), []cluster.Status{{Status: units.Status{Name: "x.service"}}}, nil)
	}()
	select {
	case err := <-result:
		t.Fatalf("reported while the renewal was late: %v", err)
	case <-time.After(3 * renewRetry):
	}
	late.mu.Lock()
	late.renewed = time.Now().Add(time.Hour)
	late.mu.Unlock()
	if err := <-result; err != nil {
		t.Errorf("after the renewal: %v", err)
	}
	late.renewed = time.Now().Add(-real.ttl)
	real.end()
	if err := late.PutStatuses(t.Context(), nil, []string{"x.service"}); !errors.Is(err, cluster.ErrSessionLost) {
		t.Errorf("after the session's end: %v, expected %v", err, cluster.ErrSessionLost)
	}
}
