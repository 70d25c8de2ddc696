package etcdserver

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
)

// A follower hands writes on to raft's leader, and one whose leader died then
// waits for its end, seconds after there is a new leader, which knows nothing of it.

// lateWrites is how long a new leader has for what was begun under the last
// one: the writes that reached others before the end, and those that waited
// for a leader.
const lateWrites = 250 * time.Millisecond

// raftTerm is the time of one leader of raft's.
type raftTerm struct {
	over context.Context
	end  context.CancelFunc
}

func newRaftTerm() raftTerm {
	over, end := context.WithCancel(context.Background())
	return raftTerm{over, end}
}

// watchTerms ends each term when it is over and its writes had their time.
func (s *Server) watchTerms() {
	changed := s.etcd.Server.LeaderChangedNotify()
	for {
		s.Leader() // which is remembered
		select {
		case <-s.stop:
			return
		case <-changed:
		}
		changed = s.etcd.Server.LeaderChangedNotify()
		s.mu.Lock()
		last := s.term
		s.term = newRaftTerm()
		s.mu.Unlock()
		select {
		case <-s.stop:
		case <-time.After(lateWrites):
		}
		last.end()
	}
}

// withinTerm answers a request whose term ended. Whether it was carried out
// is not known then; etcd's client tries reads again by itself.
func (s *Server) withinTerm(ctx context.Context, req any, _ *grpc.UnaryServerInfo,
	handle grpc.UnaryHandler) (any, error) {
	s.awaitLeader(ctx)
	s.mu.Lock()
	over := s.term.over
	s.mu.Unlock()
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(over, cancel)()
	resp, err := handle(limited, req)
	if err != nil && over.Err() != nil && ctx.Err() == nil {
		return nil, rpctypes.ErrGRPCLeaderChanged
	}
	return resp, err
}
