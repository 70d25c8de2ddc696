package etcdserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/etcd/server/v3/storage/wal"

	"fleettop/units/diskfault"
)

// Where etcd has its log and its database, in its directory.
var (
	logDir       = filepath.Join("member", "wal")
	databaseFile = filepath.Join("member", "snap", "db")
)

// checkData reads a member's database and log from end to end, since etcd takes
// what it finds there on trust: pages that are missing or zero end the process
// in a goroutine that nothing guards, a file that is missing or empty is made
// anew, as if the cluster held nothing, and a log that lost its end never
// catches up. It takes about as long as etcd's own start.
func (c *Config) checkData() error {
	database, log := filepath.Join(c.Dir, dataDir, databaseFile), filepath.Join(c.Dir, dataDir, logDir)
	applied, logged := uint64(0), uint64(0)
	if err := guarded(func() (err error) { applied, err = readDatabase(database); return err }); err != nil {
		return c.dataError(database, err)
	}
	if err := guarded(func() (err error) { logged, err = readLog(log); return err }); err != nil {
		return c.dataError(log, err)
	}
	if logged < applied {
		return c.dataError(log, fmt.Errorf("the log's end is missing: it goes to entry %d, and the database to %d",
			logged, applied))
	}
	return nil
}

// guarded runs f and turns a panic in it into an error.
func guarded(f func() error) error {
	result := make(chan error, 1)
	go func() {
		debug.SetPanicOnFault(true) // of this goroutine: a page of a mapping that the file doesn't have
		defer func() {
			if p := recover(); p != nil {
				result <- fmt.Errorf("it is damaged: %v", p)
			}
		}()
		result <- f()
	}()
	return <-result
}

// readDatabase returns up to which entry of the log the database has come.
func readDatabase(path string) (applied uint64, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, errors.New("it is missing")
	case err != nil:
		return 0, err
	case info.Size() == 0:
		return 0, errors.New("it is empty")
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return 0, errors.New("another process has it open: stop that first")
	case err != nil && diskfault.Known(err):
		return 0, err
	case err != nil:
		return 0, fmt.Errorf("it is damaged: %w", err)
	}
	defer db.Close()
	sum := uint64(0)
	err = db.View(func(tx *bbolt.Tx) error {
		if info.Size() < tx.Size() {
			return fmt.Errorf("it is truncated: it has %d bytes of %d", info.Size(), tx.Size())
		}
		if meta := tx.Bucket(schema.Meta.Name()); meta != nil {
			if index := meta.Get(schema.MetaConsistentIndexKeyName); len(index) == 8 {
				applied = binary.BigEndian.Uint64(index)
			}
		}
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(_, v []byte) error {
				if len(v) > 0 {
					sum += uint64(v[len(v)-1]) // a large value has pages of its own
				}
				return nil
			})
		})
	})
	return applied, err
}

// readLog returns the index of the log's last entry.
func readLog(dir string) (last uint64, err error) {
	snapshots, err := wal.ValidSnapshotEntries(nil, dir)
	switch {
	case diskfault.Known(err):
		return 0, err
	case err != nil:
		return 0, fmt.Errorf("the log is damaged: %w", err)
	case len(snapshots) == 0:
		return 0, errors.New("the log is damaged: it has no beginning")
	}
	newest := snapshots[len(snapshots)-1]
	w, err := wal.OpenForRead(nil, dir, newest)
	if err != nil {
		return 0, fmt.Errorf("the log is damaged: %w", err)
	}
	defer w.Close()
	_, _, entries, err := w.ReadAll()
	if err != nil {
		return 0, fmt.Errorf("the log is damaged: %w", err)
	}
	if len(entries) == 0 {
		return newest.GetIndex(), nil
	}
	return entries[len(entries)-1].GetIndex(), nil
}
