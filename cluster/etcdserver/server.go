package etcdserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"fleettop/units/diskfault"
)

// ErrRemoved means that this member was removed from its cluster: Discard its
// data, and it may be added again.
var ErrRemoved = errors.New("this machine's etcd was removed from its cluster")

// ErrHasData means that a directory that should be empty holds a member's data.
var ErrHasData = errors.New("the data directory holds a member already: restart it, or choose another --state-dir")

const (
	// transferPatience is how long a closing leader tries to hand over.
	transferPatience = time.Second
	// answerPatience is how long a closing server goes on with requests that it
	// took. Without a quorum there would be no end of them.
	answerPatience = 300 * time.Millisecond
	// answerWrite is for the last answers to be written, which etcd doesn't announce.
	answerWrite = 5 * time.Millisecond
)

// leastRoom is what a new member needs on its disk: two files of its log, made
// beforehand, and its database.
const leastRoom = 160 << 20

// Server is this machine's running member.
type Server struct {
	cfg  Config
	etcd *embed.Etcd
	done chan struct{}
	err  error // why it ended; read after done is closed

	mu      sync.Mutex     // guards what follows
	clients []*grpc.Server // what serves clients, to be cut off at once on Close
	reason  error          // why etcd said that it ends
	broken  error          // why etcd gave up
	term    raftTerm       // the current one
	// electing is closed when the election that this member forced is over; nil before the first.
	electing chan struct{}
	// lastLeader is the machine that led raft when last looked at.
	lastLeader string

	answering atomic.Int64 // requests taken and not answered yet, but for streams

	closing  sync.Once
	stop     chan struct{}
	gaveUp   chan struct{} // closed when broken is set
	watching sync.WaitGroup
}

// Bootstrap starts the first member of a new cluster, cfg.ClusterID. It
// returns when the member serves, or with ErrHasData if cfg.Dir has data.
func Bootstrap(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if cfg.ClusterID == "" {
		return nil, errors.New("a new cluster needs an ID")
	}
	return cfg.startNew(ctx, cfg.Machine+"="+cfg.PeerURL(), true)
}

// Join starts a member that was added to its cluster as a learner, by the
// ticket made for it. The ticket lists the cluster's members and is refused
// by them once they changed; get another one then. Join returns when the
// member serves. It returns a *ForeignDataError where dir has another
// cluster's data.
func Join(ctx context.Context, cfg Config, ticket Ticket) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if ticket.Machine != cfg.Machine || ticket.PeerURL != cfg.PeerURL() {
		return nil, fmt.Errorf("the ticket is for machine %s at %s, and this is %s at %s: ask for one of its own",
			ticket.Machine, ticket.PeerURL, cfg.Machine, cfg.PeerURL())
	}
	cfg.ClusterID = ticket.ClusterID
	return cfg.startNew(ctx, ticket.InitialCluster, false)
}

// startNew starts a member without data, and waits until it serves.
func (c *Config) startNew(ctx context.Context, initial string, isNew bool) (*Server, error) {
	if err := dropUnfinished(c.Dir); err != nil {
		return nil, err
	}
	if err := claim(c.Dir, marker{ClusterID: c.ClusterID, Machine: c.Machine, Founding: isNew}, isNew); err != nil {
		return nil, err
	}
	if HasData(c.Dir) {
		return nil, ErrHasData
	}
	if err := c.clear(isNew); err != nil {
		return nil, err
	}
	if room, err := diskfault.SpaceOf(c.Dir); err == nil && room.Free < leastRoom {
		dir := filepath.Join(c.Dir, dataDir)
		return nil, c.dataError(dir, fmt.Errorf("%w: %d MB are free, and etcd needs %d MB to begin with",
			syscall.ENOSPC, room.Free>>20, leastRoom>>20))
	}
	s, err := c.start(initial, isNew)
	if err != nil {
		return nil, err
	}
	select {
	case <-s.Ready():
		if !isNew {
			return s, nil
		}
		if err = writeMarker(c.Dir, marker{ClusterID: c.ClusterID, Machine: c.Machine}); err == nil {
			return s, nil
		}
	case <-s.done:
		err = s.err
	case <-ctx.Done():
		err = fmt.Errorf("start etcd: %w: see that the other voters are up and reach %s", ctx.Err(), c.PeerAddr)
	}
	s.Close()
	return nil, err
}

// clear removes what is left of a member whose log is gone: etcd would take
// its database for that of the new one. A new cluster has nothing else, so
// there the database is left to a person.
func (c *Config) clear(isNew bool) error {
	dir := filepath.Join(c.Dir, dataDir)
	if _, err := os.Stat(filepath.Join(dir, databaseFile)); err == nil && isNew {
		return c.dataError(filepath.Join(dir, logDir), errors.New("the log is missing, and the database is there"))
	}
	if err := os.RemoveAll(dir); err != nil {
		return c.dataError(dir, err)
	}
	return nil
}

// Restart starts the member whose data cfg.Dir holds, and returns without
// waiting for its quorum; see Ready. It returns a *ForeignDataError if the
// data is another cluster's or machine's. If the member was removed while it
// was away, the server ends with ErrRemoved as soon as the others tell it.
func Restart(_ context.Context, cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if !HasData(cfg.Dir) {
		return nil, fmt.Errorf("%s has no etcd data to restart from: bootstrap or join", cfg.Dir)
	}
	if cfg.ClusterID == "" {
		has, err := readMarker(cfg.Dir)
		if err != nil {
			return nil, err
		}
		cfg.ClusterID = has.ClusterID
	}
	if err := claim(cfg.Dir, marker{ClusterID: cfg.ClusterID, Machine: cfg.Machine}, false); err != nil {
		return nil, err
	}
	if err := cfg.checkData(); err != nil {
		return nil, err
	}
	return cfg.start(cfg.Machine+"="+cfg.PeerURL(), false)
}

func (c *Config) start(initial string, isNew bool) (*Server, error) {
	s := &Server{cfg: *c, done: make(chan struct{}), stop: make(chan struct{}), gaveUp: make(chan struct{}),
		term: newRaftTerm()}
	e, err := c.etcdConfig(initial, isNew, s)
	if err != nil {
		return nil, fmt.Errorf("configure etcd: %w", err)
	}
	if err := s.launch(e); err != nil {
		return nil, c.failure(err)
	}
	s.watching.Go(s.watch)
	s.watching.Go(s.watchTerms)
	s.watching.Go(s.limitStreams)
	return s, nil
}

// register takes note of a gRPC server that serves clients.
func (s *Server) register(g *grpc.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients = append(s.clients, g)
}

// errClosing answers a client whose request comes too late; it tries
// another server then.
var errClosing = status.Error(codes.Unavailable, "this etcd is closing")

// admission refuses requests from the moment the server closes. Under TLS,
// gRPC is served by an HTTP server that goes on taking requests while gRPC
// waits for those it has, so without this there may always be one more.
func (s *Server) admission() []grpc.ServerOption {
	closing := func() bool {
		select {
		case <-s.stop:
			return true
		default:
			return false
		}
	}
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo,
			handle grpc.UnaryHandler) (any, error) {
			s.answering.Add(1)
			defer s.answering.Add(-1)
			if closing() {
				return nil, errClosing
			}
			return handle(ctx, req)
		}, s.withinTerm),
		grpc.ChainStreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo,
			handle grpc.StreamHandler) error {
			if closing() {
				return errClosing
			}
			return handle(srv, stream)
		}),
	}
}

// ended takes note of why etcd ends itself.
func (s *Server) ended(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason == nil {
		s.reason = err
	}
}

// watch waits for the end of the server and notes its reason.
func (s *Server) watch() {
	defer close(s.done)
	var err error
	select {
	case <-s.stop:
		return
	case <-s.gaveUp:
	case err = <-s.etcd.Err(): // of a listener, or in consequence of the server's end
		select {
		case <-s.etcd.Server.StopNotify():
		case <-s.stop:
		case <-time.After(time.Second):
		}
	case <-s.etcd.Server.StopNotify():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = endReason(cmp.Or(s.broken, s.reason, err, errors.New("it gave no reason")))
}

func endReason(err error) error {
	if data := new(DataError); errors.As(err, &data) {
		return err
	}
	if isRemoval(err) {
		return ErrRemoved
	}
	return fmt.Errorf("etcd ended by itself: %w: see its log, and restart the daemon", err)
}

// isRemoval goes by the text: etcd has no type or value for it to compare with.
func isRemoval(err error) bool {
	return strings.Contains(err.Error(), "permanently removed from the cluster")
}

// Done is closed when the server has ended, by itself or by Close. One that
// ended by itself still has to be closed.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err returns why the server ended by itself: ErrRemoved, or another failure.
// It is nil while it runs, and after Close.
func (s *Server) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Ready is closed when the member has found its quorum and serves.
func (s *Server) Ready() <-chan struct{} { return s.etcd.Server.ReadyNotify() }

// ClientURL returns where this member serves clients.
func (s *Server) ClientURL() string { return s.cfg.ClientURL() }

// ClusterID returns the ID of the cluster this member is in.
func (s *Server) ClusterID() string { return s.cfg.ClusterID }

// MemberID returns etcd's ID of this member.
func (s *Server) MemberID() uint64 { return uint64(s.etcd.Server.MemberID()) }

// IsLeader reports whether this member leads raft; not to be confused with the
// cluster's leader, who is elected through it.
func (s *Server) IsLeader() bool { return s.etcd.Server.Leader() == s.etcd.Server.MemberID() }

// IsLearner reports whether this member is one that doesn't vote yet. A member
// that was removed is none; etcd's own answer to that is a panic.
func (s *Server) IsLearner() bool {
	m := s.etcd.Server.Cluster().Member(s.etcd.Server.MemberID())
	return m != nil && m.IsLearner
}

// Client returns a client that talks to this member alone. It goes through
// the network stack rather than into the server directly: the in-process
// client knows no RequireLeader, so that a watch without a quorum would stay
// silent instead of ending. The caller closes it.
func (s *Server) Client() (*clientv3.Client, error) {
	return NewClient(ClientConfig{Endpoints: []string{s.ClientURL()}, TLS: s.cfg.TLS, Logger: s.cfg.Logger})
}

// Close hands over raft's leadership, answers what it can, cuts off all clients
// and returns when everything has stopped, within a few seconds.
func (s *Server) Close() { s.shut(true) }

func (s *Server) shut(orderly bool) {
	s.closing.Do(func() {
		close(s.stop)
		s.watching.Wait()
		if orderly && !s.hasGivenUp() {
			s.handOver()
			s.answer()
		}
		s.mu.Lock()
		for _, g := range s.clients {
			// Open watches would keep a graceful stop waiting for seconds.
			g.Stop()
		}
		broken := s.broken != nil
		s.mu.Unlock()
		if broken {
			return // it would wait for goroutines that are gone; the process is about to end
		}
		s.etcd.Server.HardStop()
		s.etcd.Close()
	})
}

func (s *Server) hasGivenUp() bool {
	select {
	case <-s.gaveUp:
		return true
	default:
		return false
	}
}

// answer waits until the requests that were taken are answered, as the
// clients can't know otherwise whether they were carried out.
func (s *Server) answer() {
	for end := time.Now().Add(answerPatience); s.answering.Load() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(answerWrite)
}

// handOver gives the leadership away, so that no election timeout passes
// before the others have a leader again. It doesn't matter whether it works.
func (s *Server) handOver() {
	if !s.IsLeader() {
		return
	}
	done := make(chan struct{})
	s.watching.Go(func() {
		defer close(done)
		if err := s.etcd.Server.TryTransferLeadershipOnShutdown(); err != nil {
			s.cfg.Logger.Debug("hand over raft's leadership", "error", err)
		}
	})
	select {
	case <-done:
	case <-time.After(transferPatience):
	}
}
