package etcdserver

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"fleettop/units/diskfault"
)

// DataError says that etcd can't work with its data, or with the disk that is
// on. Its text is a sentence for people, with the commands that help.
type DataError struct {
	Path  string // the file or directory; etcd's directory where it isn't known closer
	Cause error
	text  string // what to do
}

// Error implements error.
func (e *DataError) Error() string {
	return fmt.Sprintf("etcd's data in %s: %v: %s", e.Path, e.Cause, e.text)
}

// Unwrap returns the cause.
func (e *DataError) Unwrap() error { return e.Cause }

// ErrBehind means that a member's log lacks what the member had confirmed to the
// others, as after an old copy of its disk was put back. etcd can't go on with it.
var ErrBehind = errors.New("its log is older than what this machine has confirmed to the other voters, as after an old " +
	"copy of its disk was put back")

// beyondLog is in what raft says before it gives up for that.
const beyondLog = "is out of range [lastIndex("

// dataError tells a fault of the disk from data that is damaged.
func (c *Config) dataError(path string, cause error) *DataError {
	dir := filepath.Join(c.Dir, dataDir)
	if path == "" {
		path = dir
	}
	if diskfault.Known(cause) {
		text := diskfault.Advice(cause, "--state-dir") + "; then start the daemon again"
		return &DataError{Path: path, Cause: cause, text: text}
	}
	if errors.Is(cause, ErrBehind) {
		return &DataError{Path: path, Cause: cause, text: "it must not vote with that, and joins anew with no data"}
	}
	return &DataError{Path: path, Cause: cause, text: fmt.Sprintf("restore %s from a backup of this machine; or, if "+
		"other "+
		"machines of the cluster vote, let this one join anew: stop the daemon, 'mv %s %s.damaged', and start it again "+
		"with --join", path, dir, dir)}
}

// crashed is zap's hook for what etcd logs before it would panic or end the
// process. It ends the goroutine instead; the server is of no use after that.
type crashed func(message string, fields []zapcore.Field)

// OnWrite implements zapcore.CheckWriteHook.
func (f crashed) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	f(e.Message, fields)
	runtime.Goexit()
}

// hooks are a logger's options that call f instead of ending the process.
func (f crashed) hooks() []zap.Option {
	return []zap.Option{zap.WithFatalHook(f), zap.WithPanicHook(f)}
}

// crash notes why etcd gave up. The first reason is the one that counts.
func (s *Server) crash(message string, fields []zapcore.Field) {
	path, cause := "", error(nil)
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
		if err, ok := f.Interface.(error); ok {
			cause = err
		}
	}
	for _, key := range []string{"path", "from", "to"} {
		if p, ok := enc.Fields[key].(string); ok && path == "" && filepath.IsAbs(p) {
			path = p
		}
	}
	if p := new(fs.PathError); errors.As(cause, &p) && path == "" {
		path = p.Path
	}
	if path == "" && strings.Contains(message, "WAL") {
		path = filepath.Join(s.cfg.Dir, dataDir, logDir)
	}
	switch {
	case strings.HasPrefix(message, "file descriptor limit"):
		cause = syscall.EMFILE
	case strings.Contains(message, beyondLog):
		cause = fmt.Errorf("%w (%s)", ErrBehind, message)
	case cause == nil:
		cause = errors.New(message)
	default:
		cause = fmt.Errorf("%s: %w", message, cause)
	}
	s.giveUp(s.cfg.dataError(path, cause))
}

// giveUp ends a server that can't be closed any more, as some of its goroutines are gone.
func (s *Server) giveUp(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = err
		close(s.gaveUp)
	}
}

// launch is embed.StartEtcd. It also returns when etcd gives up before, or
// when what it reads is not what it expects.
func (s *Server) launch(e *embed.Config) error {
	var etcd *embed.Etcd
	ended := make(chan error, 1)
	go func() {
		// What etcd reads is mapped into memory, and a file that is too short
		// faults like a wild pointer.
		debug.SetPanicOnFault(true)
		defer func() {
			if p := recover(); p != nil {
				s.giveUp(s.cfg.dataError("", fmt.Errorf("%v", p)))
			}
		}()
		var err error
		etcd, err = embed.StartEtcd(e)
		ended <- err
	}()
	select {
	case err := <-ended:
		s.etcd = etcd
		return err
	case <-s.gaveUp:
		return s.broken
	}
}

// failure sorts what StartEtcd returned.
func (c *Config) failure(err error) error {
	data := new(DataError)
	switch text := err.Error(); {
	case errors.As(err, &data):
		return err
	case isRemoval(err):
		return ErrRemoved
	case strings.Contains(text, "address already in use"), strings.Contains(text, "cannot assign requested address"):
		return fmt.Errorf("start etcd: %w: free the address, or choose another for etcd", err)
	case strings.Contains(text, "error validating peerURLs"), strings.Contains(text, "member count is unequal"):
		return fmt.Errorf("start etcd: %w: the cluster's members changed since; get a new ticket and join again", err)
	case strings.Contains(text, "cannot fetch cluster info"):
		return fmt.Errorf("start etcd: %w: see that the voters are up and their peer port is reachable from here", err)
	case diskfault.Known(err), errors.Is(err, wal.ErrCRCMismatch), strings.Contains(text, "database file"),
		strings.Contains(text, "cannot access data directory"), strings.Contains(text, "cannot write to"):
		return c.dataError("", err)
	}
	return fmt.Errorf("start etcd: %w: see its log, and that the state directory has space", err)
}
