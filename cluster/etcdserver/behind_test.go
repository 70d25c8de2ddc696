package etcdserver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// TestBehind: what raft says of a log that lacks what was confirmed is known for
// that, in the release of raft that is built in.
func TestBehind(t *testing.T) {
	said := ""
	func() {
		defer func() { said, _ = recover().(string) }()
		storage := raft.NewMemoryStorage()
		follower, err := raft.NewRawNode(&raft.Config{ID: 1, ElectionTick: 10, HeartbeatTick: 1, Storage: storage,
			MaxSizePerMsg: 1 << 20, MaxInflightMsgs: 16})
		if err != nil {
			t.Fatal(err)
		}
		_ = follower.Step(&pb.Message{Type: pb.MsgHeartbeat.Enum(), From: new(uint64(2)), To: new(uint64(1)),
			Term: new(uint64(5)), Commit: new(uint64(129))})
	}()
	s := &Server{cfg: Config{Dir: t.TempDir()}, gaveUp: make(chan struct{})}
	s.crash(said, nil)
	if !errors.Is(s.broken, ErrBehind) || !strings.Contains(s.broken.Error(), "joins anew") {
		t.Errorf("raft says %q, and that is %v", said, s.broken)
	}
}

func TestPutAside(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // the second replaces what the first put aside
		if err := os.MkdirAll(filepath.Join(dir, dataDir, "member", "wal"), 0o700); err != nil {
			t.Fatal(err)
		}
		to, err := PutAside(dir)
		if err != nil || HasData(dir) {
			t.Fatalf("data is still there, %v", err)
		}
		if _, err := os.Stat(filepath.Join(to, "member", "wal")); err != nil {
			t.Error(err)
		}
	}
	if _, err := PutAside(dir); err == nil {
		t.Error("nothing was put aside, without an error")
	}
}
