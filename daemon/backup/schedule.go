package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"fleettop/cluster"
	"fleettop/units/atomicfile"
	"fleettop/units/diskfault"
	"fleettop/units/retry"
)

const (
	collectLimit = time.Minute
	recordLimit  = 30 * time.Second
	retryMost    = 10 * time.Minute       // until a backup that failed is tried again
	apartMost    = time.Minute            // between the machines whose directory is one and the same
	firstLeast   = 500 * time.Millisecond // between looks for the store
	firstMost    = 10 * time.Second
	clusterShown = 8 // digits of the cluster's ID in a file's name
	timeInName   = "20060102T150405Z"
	suffix       = ".backup"
)

// Schedule is a daemon's own backups.
type Schedule struct {
	Dir   string // made if it is missing
	Every time.Duration
	Keep  int // files of this cluster that are kept

	Machine, Name string // of the daemon's machine
	Software      string
	Store         interface {
		Store
		ClusterID(ctx context.Context) (string, error)
	}
	Timeline interface {
		Record(ctx context.Context, e ...cluster.Event) error
	}
	Log *slog.Logger
}

// Run makes a backup whenever the newest one in the directory is old enough,
// until ctx ends. Each machine does so by itself, so that a dead one keeps no other
// from it; machines that share a directory find each other's files there. It returns nil.
func (s *Schedule) Run(ctx context.Context) error {
	for delay := retry.NewDelay(firstLeast, firstMost); ; { // a daemon that starts has no store yet
		if _, err := s.prefix(ctx); err == nil || !delay.Wait(ctx) {
			break
		}
	}
	failing := false
	for ctx.Err() == nil {
		wait, err := s.next(ctx)
		if err == nil && wait <= 0 {
			err = s.makeOne(ctx)
			wait = 0
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			wait = min(s.Every, retryMost)
			advice := s.advice(err)
			s.Log.Warn("no backup was made; trying again: "+advice, "dir", s.Dir, "again", wait, "error", err)
			if !failing {
				s.record(ctx, fmt.Sprintf("%s made no backup: %v: %s", s.Name, err, advice))
			}
			failing = true
		case failing && wait == 0:
			failing = false
			s.record(ctx, s.Name+" makes backups again")
		}
		retry.Pause(ctx, max(wait, time.Second))
	}
	return nil
}

func (s *Schedule) record(ctx context.Context, text string) {
	ctx, cancel := context.WithTimeout(ctx, recordLimit)
	defer cancel()
	_ = s.Timeline.Record(ctx, cluster.Event{Kind: cluster.EventMachine, Machine: s.Machine, Time: time.Now(), Text: text})
}

// advice says what to do about a backup that failed.
func (s *Schedule) advice(err error) string {
	switch {
	case errors.Is(err, cluster.ErrUnavailable):
		return "it is made when the cluster's store answers again"
	case errors.Is(err, syscall.EROFS):
		return "let the daemon write there, with ReadWritePaths=" + s.Dir + " by `systemctl edit fleettop`"
	}
	return diskfault.Advice(err, "--backup-dir")
}

// next returns how long it is until the next backup is due.
func (s *Schedule) next(ctx context.Context) (time.Duration, error) {
	prefix, err := s.prefix(ctx)
	if err != nil {
		return 0, err
	}
	names, err := s.list(prefix)
	if err != nil {
		return 0, err
	}
	return due(names, prefix, s.Every, s.apart(), time.Now()), nil
}

// apart is how much later than others this machine makes a backup, so that one of those that share a
// directory is first.
func (s *Schedule) apart() time.Duration {
	h := fnv.New32a()
	h.Write([]byte(s.Machine))
	return min(apartMost, s.Every/10) * time.Duration(h.Sum32()%1000) / 1000
}

// due returns how long it is until a backup is due, by the names of those there are. The first is due at
// once. One of a time to come was made by a clock that was wrong, and doesn't count.
func due(names []string, prefix string, every, apart time.Duration, now time.Time) time.Duration {
	for _, name := range slices.Backward(names) {
		made, err := time.Parse(timeInName, strings.TrimSuffix(strings.TrimPrefix(name, prefix), suffix))
		if err == nil && made.Before(now.Add(time.Minute)) {
			return made.Add(every + apart).Sub(now)
		}
	}
	return 0
}

// prefix begins the names of this cluster's backups.
func (s *Schedule) prefix(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, collectLimit)
	defer cancel()
	id, err := s.Store.ClusterID(ctx)
	if err != nil {
		return "", err
	}
	return "fleettop-" + id[:min(clusterShown, len(id))] + "-", nil
}

// list returns the names of this cluster's backups, oldest first.
func (s *Schedule) list(prefix string) ([]string, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), suffix) && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, err
}

// makeOne makes a backup and removes the oldest of those that are too many.
func (s *Schedule) makeOne(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, collectLimit)
	defer cancel()
	now := time.Now()
	c, err := Make(ctx, s.Store, s.Name, s.Software, now)
	if err != nil {
		return err
	}
	raw, err := Pack(c)
	if err != nil {
		return err
	}
	prefix, err := s.prefix(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	name := prefix + now.UTC().Format(timeInName) + suffix
	if err := atomicfile.Write(filepath.Join(s.Dir, name), raw, 0o600); err != nil {
		return err
	}
	s.Log.Info("made a backup", "file", filepath.Join(s.Dir, name), "units", len(c.Units), "bytes", len(raw))
	names, err := s.list(prefix)
	for _, old := range tooMany(names, name, s.Keep) {
		err = cmp.Or(err, os.Remove(filepath.Join(s.Dir, old)))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another machine was first
	}
	return err
}

// tooMany returns the oldest of the backups that aren't to be kept; never the one that was just made.
func tooMany(names []string, made string, keep int) []string {
	rest := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == made })
	return rest[:max(0, len(rest)-(keep-1))]
}
