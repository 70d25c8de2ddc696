package etcdserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"google.golang.org/protobuf/proto"

	"fleettop/units/diskfault"
)

// A cluster that lost most of its voters for good has no quorum any more. Recover makes
// a new cluster of the data of one that is left. It has other IDs than the old one, so that
// etcd's members of the old one can't take its member for theirs, nor end it or be ended by it.

const (
	oldData      = dataDir + ".before-recovery" // the data that Recover began with
	scratchDir   = "recovering"                 // a state directory of its own, for a copy of the data
	newData      = dataDir + ".recovered"       // the new cluster's, until it takes the place of the old
	forcedLimit  = time.Minute                  // for a copy of the member to come up alone
	revisionsOff = 1_000_000                    // more than the old cluster wrote that this member didn't hear of
)

// Survivor is what one member has of its cluster.
type Survivor struct {
	Dir       string // the state directory
	ClusterID string
	Machine   string
	Own       Member
	Others    []Member // by ID
	Revision  int64
	Written   time.Time         // when its log was last written
	Values    map[string][]byte // what the keys have that the caller asked for
}

// Survey reads a member's data, which no daemon may use meanwhile. It returns the values of those
// keys that wanted chooses.
func Survey(dir string, wanted func(key string) bool) (*Survivor, error) {
	m, err := readMarker(dir)
	if err != nil {
		return nil, err
	}
	from := survivingData(dir)
	if _, err := os.Stat(filepath.Join(from, databaseFile)); m == (marker{}) || m.Founding || err != nil {
		return nil, fmt.Errorf("%s has no data of a cluster's voter: run this on a machine that was one, or name its state "+
			"directory with --state-dir", dir)
	}
	c := &Config{Dir: dir}
	s := &Survivor{Dir: dir, ClusterID: m.ClusterID, Machine: m.Machine, Values: map[string][]byte{}}
	path := filepath.Join(from, databaseFile)
	if err := guarded(func() error { return s.read(path, wanted) }); err != nil {
		return nil, c.dataError(path, err)
	}
	if s.Own.ID == 0 {
		return nil, fmt.Errorf("%s has a cluster's data in which this machine, %s, is no voter: run this on one that is", dir,
			m.Machine)
	}
	logs, _ := filepath.Glob(filepath.Join(from, logDir, "*.wal"))
	for _, log := range logs {
		if info, err := os.Stat(log); err == nil && info.ModTime().After(s.Written) {
			s.Written = info.ModTime()
		}
	}
	return s, nil
}

// survivingData is where the data is; a recovery that was interrupted may have moved it away already.
func survivingData(dir string) string {
	if _, err := os.Stat(filepath.Join(dir, dataDir, databaseFile)); errors.Is(err, fs.ErrNotExist) {
		return filepath.Join(dir, oldData)
	}
	return filepath.Join(dir, dataDir)
}

func (s *Survivor) read(path string, wanted func(string) bool) error {
	if _, err := readDatabase(path); err != nil {
		return err
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		members, keys := tx.Bucket(schema.Members.Name()), tx.Bucket(schema.Key.Name())
		if members == nil || keys == nil {
			return errors.New("it has no members or no keys")
		}
		err := members.ForEach(func(_, v []byte) error {
			var m membership.Member
			if err := json.Unmarshal(v, &m); err != nil {
				return err
			}
			member := Member{ID: uint64(m.ID), Machine: m.Name, PeerURL: strings.Join(m.PeerURLs, ","), Learner: m.IsLearner,
				Started: m.Name != ""}
			if m.Name == s.Machine {
				s.Own = member
			} else {
				s.Others = append(s.Others, member)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return keys.ForEach(func(k, v []byte) error {
			s.Revision = mvcc.BytesToRev(k).Main
			var kv mvccpb.KeyValue
			if err := proto.Unmarshal(v, &kv); err != nil {
				return err
			}
			switch key := string(kv.Key); {
			case mvcc.IsTombstone(k):
				delete(s.Values, key)
			case wanted(key):
				s.Values[key] = kv.Value
			}
			return nil
		})
	})
}

// Voters is how many members of the cluster vote.
func (s *Survivor) Voters() int {
	n := 0
	for _, m := range append([]Member{s.Own}, s.Others...) {
		if !m.Learner {
			n++
		}
	}
	return n
}

// Answering returns those of the other voters whose etcd takes connections. It waits up to limit for all of them.
func (s *Survivor) Answering(ctx context.Context, limit time.Duration) []Member {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	found := make(chan Member)
	for _, m := range s.Others {
		go func() {
			_, host, _ := strings.Cut(m.PeerURL, "://")
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
			if err != nil {
				found <- Member{}
				return
			}
			conn.Close()
			found <- m
		}()
	}
	var list []Member
	for range s.Others {
		if m := <-found; m.ID != 0 && !m.Learner {
			list = append(list, m)
		}
	}
	return list
}

// Recover makes cluster newID, with this member alone, of the member's data. The
// old data is kept beside it, in the directory that it returns. Where it fails or is
// interrupted the old data is still there, and it can be called again.
func (s *Survivor) Recover(ctx context.Context, newID string, cfg Config) (kept string, err error) {
	from := survivingData(s.Dir)
	scratch, made := filepath.Join(s.Dir, scratchDir), filepath.Join(s.Dir, newData)
	if err := errors.Join(os.RemoveAll(scratch), os.RemoveAll(made)); err != nil {
		return "", fmt.Errorf("remove what an earlier recovery left: %w: %s", err, diskfault.Advice(err, ""))
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch), os.RemoveAll(made)) }()
	if err := copyTree(filepath.Join(scratch, dataDir), from); err != nil {
		return "", fmt.Errorf("copy the old data: %w: %s", err, diskfault.Advice(err, ""))
	}
	cfg.Dir, cfg.Machine = scratch, s.Machine
	if !s.Own.Learner { // a learner can't vote for itself: its database has all it has applied
		if err := cfg.replay(ctx); err != nil {
			return "", fmt.Errorf("start a copy of the old data alone: %w", err)
		}
	}
	peer := strings.Split(s.Own.PeerURL, ",")[0]
	err = guarded(func() error {
		return standalone(made, filepath.Join(scratch, dataDir, databaseFile), s.Machine, peer, newID, revisionsOff)
	})
	if err != nil {
		return "", fmt.Errorf("make a new cluster of the old data: %w: %s", err, diskfault.Advice(err, ""))
	}
	syscall.Sync() // before the old data leaves its place
	kept, current := filepath.Join(s.Dir, oldData), filepath.Join(s.Dir, dataDir)
	if from == current {
		err = errors.Join(os.RemoveAll(kept), os.Rename(current, kept))
	}
	if err == nil {
		err = os.Rename(made, current)
	}
	if err != nil {
		return "", fmt.Errorf("put the new data in the place of the old: %w: %s", err, diskfault.Advice(err, ""))
	}
	return kept, writeMarker(s.Dir, marker{ClusterID: newID, Machine: s.Machine, Succeeds: s.ClusterID})
}

// replay starts the member alone, so that its database gets all that its log has as agreed to.
func (c Config) replay(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, forcedLimit)
	defer cancel()
	for _, to := range []*string{&c.PeerAddr, &c.ClientAddr} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		*to = l.Addr().String()
		l.Close()
	}
	c.TLS, c.alone = TLS{}, true
	if err := c.complete(); err != nil {
		return err
	}
	if err := c.checkData(); err != nil {
		return err
	}
	server, err := c.start(c.Machine+"="+c.PeerURL(), false)
	if err != nil {
		return err
	}
	defer server.Close()
	select {
	case <-server.Ready():
		return nil
	case <-server.Done():
		return server.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// copyTree copies a directory with its files.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(from, path)
		if err = errors.Join(err, relErr); err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if e.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		if !e.Type().IsRegular() {
			return nil
		}
		return copyFile(target, path)
	})
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Succeeds returns the ID of the cluster whose data the one in dir was made of by Recover; empty for none.
func Succeeds(dir string) string {
	m, err := readMarker(dir)
	if err != nil {
		return ""
	}
	return m.Succeeds
}

// LeaveBehind moves the data of a member whose cluster was recovered on another
// machine away, so that this machine joins that one. It returns where the data is.
func LeaveBehind(dir string) (string, error) {
	m, err := readMarker(dir)
	switch {
	case err != nil:
		return "", err
	case !HasData(dir) || m == (marker{}):
		return "", fmt.Errorf("%s has no data of a cluster: there is nothing to leave behind", dir)
	}
	to, err := PutAside(dir)
	if err == nil {
		err = os.Remove(filepath.Join(dir, markerFile))
	}
	return to, err
}
