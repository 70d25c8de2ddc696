package etcdserver

import (
	"context"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// raft elects another leader when it hasn't heard one for election to twice
// election. Where it is known earlier that the leader's machine is dead, a voter
// stands for election at once, as if the leader had handed over to it. That is safe
// whatever is true of the leader: one that lives steps down, or keeps its term.

// turnAfter is how much later each further voter stands, so that two don't split
// the votes. The first may have less of the log than another one and lose.
const turnAfter = heartbeat

// Leader returns the machine whose member leads raft, as this member has it, or
// led it last where none does: one that stood in vain has ended the leader's term.
// It is empty before the first.
func (s *Server) Leader() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.etcd.Server.Cluster().Member(s.etcd.Server.Leader()); m != nil {
		s.lastLeader = m.Name
	}
	return s.lastLeader
}

// Voters returns the machines whose members vote.
func (s *Server) Voters() (machines []string) {
	for _, m := range s.etcd.Server.Cluster().Members() {
		if !m.IsLearner && m.Name != "" {
			machines = append(machines, m.Name)
		}
	}
	return machines
}

// Succeed has this member stand for raft's leadership in place of a machine that
// is dead, after as many turns as there are voters before it. It holds requests
// back meanwhile, as this member would hand them on to the dead one. It returns when
// another member leads, when an election would have begun by itself, or ctx ends.
func (s *Server) Succeed(ctx context.Context, dead string, turn int) error {
	server := s.etcd.Server
	changed, term := server.LeaderChangedNotify(), server.Term()
	if s.Leader() != dead {
		return nil
	}
	elected := make(chan struct{})
	defer close(elected)
	s.mu.Lock()
	s.electing = elected
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, election) // by then raft stands by itself
	defer cancel()
	if turn > 0 {
		mine := time.NewTimer(time.Duration(turn) * turnAfter)
		defer mine.Stop()
		select {
		case <-mine.C:
			term = server.Term() // of those that stood before
		case <-changed:
			return nil
		case <-ctx.Done():
			return nil
		case <-s.stop:
			return nil
		}
	}
	self := uint64(server.MemberID())
	// raft ignores it where the term is over.
	if err := server.Process(ctx, &raftpb.Message{Type: raftpb.MsgTimeoutNow.Enum(), From: &self, To: &self,
		Term: &term}); err != nil && ctx.Err() == nil {
		return err
	}
	select {
	case <-changed:
	case <-ctx.Done():
	case <-s.stop:
	}
	return nil
}

// awaitLeader holds a request back while this member knows that its leader is dead.
func (s *Server) awaitLeader(ctx context.Context) {
	s.mu.Lock()
	electing := s.electing
	s.mu.Unlock()
	if electing == nil {
		return
	}
	select {
	case <-electing:
	case <-ctx.Done():
	}
}
