package etcdserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	etcd "go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/etcdserver/api/snap"
	"go.etcd.io/etcd/server/v3/etcdserver/cindex"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// standalone makes etcd's directory dir for a new cluster of one member, from the database of
// a member of another cluster, as `etcdutl snapshot restore` does. token tells the cluster's and
// the member's IDs from those of all other clusters. Revisions go on skip after the database's newest,
// and all before are compacted: a client of the old cluster can't take them for what it knows.
func standalone(dir, database, machine, peerURL, token string, skip int64) error {
	urls, err := types.NewURLsMap(machine + "=" + peerURL)
	if err != nil {
		return err
	}
	log := zap.NewNop()
	members, err := membership.NewClusterFromURLsMap(log, token, urls)
	if err != nil {
		return err
	}
	snapDir, walDir := filepath.Join(dir, filepath.Dir(databaseFile)), filepath.Join(dir, logDir)
	if err := errors.Join(os.MkdirAll(snapDir, 0o700), os.MkdirAll(filepath.Dir(walDir), 0o700)); err != nil {
		return err
	}
	path := filepath.Join(dir, databaseFile)
	if err := copyFile(path, database); err != nil {
		return err
	}
	be := backend.NewDefaultBackend(log, path)
	defer be.Close()
	store := schema.NewMembershipBackend(log, be)
	if err := store.TrimMembershipFromBackend(); err != nil {
		return err
	}
	skipRevisions(be, skip)
	members.SetBackend(store)
	own := members.Members()[0]
	members.AddMember(own, true)
	state, err := firstLog(log, walDir, snapDir, members, own)
	if err != nil {
		return err
	}
	cindex.UpdateConsistentIndexForce(be.BatchTx(), state.GetCommit(), state.GetTerm())
	be.ForceCommit()
	return nil
}

// skipRevisions makes the newest revision a later one, with nothing in it, and compacts all before.
func skipRevisions(be backend.Backend, skip int64) {
	tx := be.BatchTx()
	tx.LockOutsideApply()
	defer tx.Unlock()
	var newest mvcc.Revision
	_ = tx.UnsafeForEach(schema.Key, func(k, _ []byte) error {
		if at := mvcc.BytesToRev(k); at.GreaterThan(newest) {
			newest = at
		}
		return nil
	})
	newest = mvcc.Revision{Main: newest.Main + skip}
	tx.UnsafePut(schema.Key, mvcc.RevToBytes(newest, mvcc.NewRevBytes()), []byte{})
	mvcc.UnsafeSetScheduledCompact(tx, newest.Main)
}

// firstLog writes the log and the snapshot of raft of a cluster whose first entry added its only member.
func firstLog(log *zap.Logger, walDir, snapDir string, members *membership.RaftCluster, own *membership.Member) (
	state *raftpb.HardState, err error) {
	id := uint64(own.ID)
	metadata, err := proto.Marshal(&etcdserverpb.Metadata{NodeID: new(id), ClusterID: new(uint64(members.ID()))})
	if err != nil {
		return nil, err
	}
	context, err := json.Marshal(own)
	if err != nil {
		return nil, err
	}
	change, err := proto.Marshal(&raftpb.ConfChange{Type: raftpb.ConfChangeAddNode.Enum(), NodeId: new(id), Context: context})
	if err != nil {
		return nil, err
	}
	w, err := wal.Create(log, walDir, metadata)
	if err != nil {
		return nil, fmt.Errorf("make its log: %w", err)
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	const index, term = uint64(1), uint64(1)
	state = &raftpb.HardState{Term: new(term), Vote: new(id), Commit: new(index)}
	entry := &raftpb.Entry{Type: raftpb.EntryConfChange.Enum(), Term: new(term), Index: new(index), Data: change}
	if err := w.Save(state, []*raftpb.Entry{entry}); err != nil {
		return nil, err
	}
	voters := &raftpb.ConfState{Voters: []uint64{id}}
	first := &raftpb.Snapshot{Data: etcd.GetMembershipInfoInV2Format(log, members),
		Metadata: &raftpb.SnapshotMetadata{Index: new(index), Term: new(term), ConfState: voters}}
	if err := snap.New(log, snapDir).SaveSnap(first); err != nil {
		return nil, err
	}
	return state, w.SaveSnapshot(&walpb.Snapshot{Index: new(index), Term: new(term), ConfState: voters})
}
