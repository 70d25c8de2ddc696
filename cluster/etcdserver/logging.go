package etcdserver

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// A message of etcd's is passed on at most this often; while a voter is away,
// each of several repeats every second.
const logEvery = 30 * time.Second

// serverError is the message with which etcd's server ends itself. The error
// in it, that it was removed for one, is reported in no other way.
const serverError = "server error"

// usual are messages that belong to every start or orderly end of an etcd, with
// a part of the error that makes them so: nothing is to be done about them.
var usual = map[string]string{
	"Running http and grpc server on single port. This is not recommended for production.": "",
	"simple token is not cryptographically signed":                                         "",
	"Failed to detect schema version":                                                      "missing term information",
	"failed to update storage version":                                                     "missing term information",
	"setting up serving from embedded etcd failed.":                                        "Server closed",
	"stopping secure grpc server due to error":                                             "use of closed network connection",
	"stopped secure grpc server due to error":                                              "use of closed network connection",
	"stopping insecure grpc server due to error":                                           "use of closed network connection",
	"stopped insecure grpc server due to error":                                            "use of closed network connection",
}

// isUsual reports whether a message of etcd's calls for nothing.
func isUsual(message string, fields []zapcore.Field) bool {
	part, known := usual[message]
	if !known || part == "" {
		return known
	}
	return slices.ContainsFunc(fields, func(f zapcore.Field) bool {
		err, ok := f.Interface.(error)
		return ok && strings.Contains(err.Error(), part)
	})
}

// newZap returns a logger that passes warnings and worse on to log, a level
// lower: what worries etcd about a peer is for us to decide on. ended, if not
// nil, is called with why a server ends itself.
func newZap(log *slog.Logger, ended func(error)) *zap.Logger {
	return zap.New(newCore(log, ended, nil))
}

// newServerZap also calls refused, if not nil, for every connection whose TLS
// handshake failed, instead of passing that on, and calls crash instead of
// ending the process or its goroutine with a panic.
func newServerZap(log *slog.Logger, ended func(error), refused func(source, why string), crash crashed) *zap.Logger {
	return zap.New(newCore(log, ended, refused), crash.hooks()...)
}

func newCore(log *slog.Logger, ended func(error), refused func(source, why string)) *core {
	return &core{log: log, ended: ended, refused: refused, limits: &limits{last: map[string]time.Time{}}}
}

// core implements zapcore.Core.
type core struct {
	log     *slog.Logger
	ended   func(error)
	refused func(source, why string)
	limits  *limits
}

// limits is shared by a core and those derived from it.
type limits struct {
	mu   sync.Mutex           // guards last
	last map[string]time.Time // by message; etcd's messages are constants
}

func (l *limits) due(message string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.last[message]; ok && now.Sub(at) < logEvery {
		return false
	}
	if len(l.last) >= 256 {
		clear(l.last)
	}
	l.last[message] = now
	return true
}

func (c *core) level(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.DPanicLevel:
		return slog.LevelError
	case l == zapcore.ErrorLevel:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// Enabled implements zapcore.LevelEnabler.
func (c *core) Enabled(l zapcore.Level) bool {
	return l >= zapcore.WarnLevel && (c.ended != nil || c.refused != nil || c.log.Enabled(context.Background(),
		c.level(l)))
}

// With implements zapcore.Core.
func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{log: c.log.With(attributes(fields)...), ended: c.ended, refused: c.refused, limits: c.limits}
}

// Check implements zapcore.Core.
func (c *core) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if e.Level > zapcore.DPanicLevel {
		return to // the hooks take it, and the daemon ends with it
	}
	if !c.Enabled(e.Level) || (e.Level < zapcore.DPanicLevel && !c.isRefusal(e.Message) && !c.limits.due(e.Message,
		e.Time)) {
		return to
	}
	return to.AddCore(e, c)
}

// Write implements zapcore.Core.
func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if c.ended != nil && e.Message == serverError {
		for _, f := range fields {
			if err, ok := f.Interface.(error); ok {
				c.ended(err)
			}
		}
	}
	if c.isRefusal(e.Message) {
		enc := zapcore.NewMapObjectEncoder()
		for _, f := range fields {
			f.AddTo(enc)
		}
		source, _ := enc.Fields["remote-addr"].(string)
		why, _ := enc.Fields["error"].(string)
		c.refused(source, why)
		return nil
	}
	level := c.level(e.Level)
	if isUsual(e.Message, fields) {
		level = slog.LevelDebug
	}
	c.log.Log(context.Background(), level, "etcd: "+e.Message, attributes(fields)...)
	return nil
}

// isRefusal goes by the message, as etcd sets its own hook for failed handshakes.
func (c *core) isRefusal(message string) bool {
	return c.refused != nil && strings.HasPrefix(message, "rejected connection on ")
}

// Sync implements zapcore.Core.
func (c *core) Sync() error { return nil }

func attributes(fields []zapcore.Field) []any {
	enc := zapcore.NewMapObjectEncoder()
	out := make([]any, 0, len(fields))
	for _, f := range fields {
		f.AddTo(enc)
		if v, ok := enc.Fields[f.Key]; ok {
			out = append(out, slog.Any(f.Key, v))
		}
	}
	return out
}
