package etcdstore

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"fleettop/cluster"
)

var _ cluster.Store = (*Store)(nil)

const (
	defaultPrefix  = "/fleettop/v1/"
	defaultTimeout = 5 * time.Second
)

// Options are the choices of a Store. The zero value is useful.
type Options struct {
	Prefix    string           // of all keys, ending in a slash; "/fleettop/v1/" if empty
	Timeout   time.Duration    // longest wait for one request, whatever the caller's context allows; 5 s if 0
	Logger    *slog.Logger     // slog.Default() if nil
	Now       func() time.Time // stamps events and leaderships; time.Now if nil
	OwnClient bool             // Close closes the client too
	// Gate, if not nil, is asked before each request; its error is returned instead.
	Gate func() error
	// Trouble, if not nil, is asked why a request got no answer; nil if that isn't known.
	Trouble func() error
}

// Store is a cluster.Store on etcd. It is safe for several goroutines.
type Store struct {
	client  *clientv3.Client
	leases  pb.LeaseClient
	keys    layout
	timeout time.Duration
	log     *slog.Logger
	now     func() time.Time
	owns    bool
	gate    func() error
	trouble func() error

	revision atomic.Int64 // the newest seen in an answer

	ctx     context.Context // ends with Close; every goroutine of the store ends with it
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu        sync.Mutex // guards what follows
	clusterID string
	bad       map[string]struct{} // keys whose values were already complained about
	recorded  int                 // events since the timeline was last trimmed
}

// New returns a Store on an etcd client that has a connection of its own, not
// one made within the server's process. The client should be configured with
// keepalives, so that a dead member is noticed.
func New(client *clientv3.Client, opts Options) *Store {
	if opts.Prefix == "" {
		opts.Prefix = defaultPrefix
	}
	if opts.Timeout == 0 {
		opts.Timeout = defaultTimeout
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	none := func() error { return nil }
	if opts.Gate == nil {
		opts.Gate = none
	}
	if opts.Trouble == nil {
		opts.Trouble = none
	}
	s := &Store{
		client:   client,
		leases:   pb.NewLeaseClient(client.ActiveConnection()),
		keys:     layout{prefix: opts.Prefix},
		timeout:  opts.Timeout,
		log:      opts.Logger,
		now:      opts.Now,
		owns:     opts.OwnClient,
		gate:     opts.Gate,
		trouble:  opts.Trouble,
		bad:      map[string]struct{}{},
		recorded: trimEvery, // the first Record trims
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Close ends the store's watches and stops renewing its sessions, whose leases
// run out, and waits until all of that has stopped.
func (s *Store) Close() error {
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	s.running.Wait()
	if s.owns {
		return s.client.Close()
	}
	return nil
}

// spawn runs f in a goroutine that Close waits for, unless the store is closed.
func (s *Store) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	s.running.Go(f)
	return true
}

// bounded limits one request.
func (s *Store) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.timeout)
}

// get is one bounded read.
func (s *Store) get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if err := s.gate(); err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	limited, cancel := s.bounded(ctx)
	defer cancel()
	resp, err := s.client.Get(limited, key, opts...)
	if err == nil {
		s.reached(resp.Header.Revision)
	}
	return resp, s.wrap(ctx, err)
}

// reached notes a revision of etcd's.
func (s *Store) reached(revision int64) {
	for now := s.revision.Load(); revision > now && !s.revision.CompareAndSwap(now, revision); now = s.revision.Load() {
	}
}

// commit is one bounded transaction: then if all guards hold, else otherwise.
func (s *Store) commit(ctx context.Context, guards []clientv3.Cmp, then, otherwise []clientv3.Op) (
	*clientv3.TxnResponse, error) {
	if err := s.gate(); err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	limited, cancel := s.bounded(ctx)
	defer cancel()
	sentAt := s.revision.Load()
	resp, err := s.client.Txn(limited).If(guards...).Then(then...).Else(otherwise...).Commit()
	for lost(err) {
		resp, err = s.commitAgain(limited, sentAt, guards, then, otherwise)
	}
	if err == nil {
		s.reached(resp.Header.Revision)
	}
	return resp, s.wrap(ctx, err)
}
