package sshd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/ssh"
	gossh "golang.org/x/crypto/ssh"

	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/api/server"
)

// Session is what somebody came for.
type Session struct {
	Args     []string  // the command; none for the console
	Terminal *Terminal // where the console goes; nil for a command, or where there is none

	In       io.Reader
	Out, Err io.Writer
	Shown    bool // Out and Err are a command's, and go to a terminal

	Role api.Role
	Who  string            // as the timeline has it
	Env  map[string]string // what was sent of the terminal's looks

	endpoint string
	dial     func(context.Context) (net.Conn, error)
}

// Client returns a client of this daemon's API in the session's role. The
// caller closes it.
func (s *Session) Client() *client.Client { return client.DialWith(s.endpoint, s.dial) }

// Dial connects to this daemon's API in the session's role.
func (s *Session) Dial(ctx context.Context) (net.Conn, error) { return s.dial(ctx) }

// Terminal is a person's terminal, at the other end.
type Terminal struct {
	Name  string      // what kind, as in $TERM
	Sizes <-chan Size // the newest; there is one from the start
}

// Size is a terminal's.
type Size struct{ Width, Height int }

// A terminal's size is what the other end says, and memory is taken by it.
const maxSide = 1000

func sizeOf(columns, rows uint32) Size {
	if columns == 0 || rows == 0 {
		return Size{80, 24}
	}
	return Size{int(min(columns, maxSide)), int(min(rows, maxSide))}
}

// looks are the variables taken from the other end.
var looks = []string{"NO_COLOR", "COLORTERM", "CLICOLOR", "TERM_PROGRAM", "LANG", "LC_ALL", "LC_CTYPE"}

const maxValue = 128

// channel is a session's channel.
type channel struct {
	gossh.Channel
	server *Server
	visit  *visit
	entry  *entry
	ctx    context.Context
	end    context.CancelCauseFunc
	over   chan struct{} // closed when Run has returned

	// What follows belongs to the goroutine that takes requests until started.
	env     map[string]string
	term    string
	sizes   chan Size // nil without a terminal
	started bool
	command string
	running sync.WaitGroup
}

// session serves a channel until the other end has closed it, too.
func (s *Server) session(_ *ssh.Server, conn *gossh.ServerConn, offer gossh.NewChannel, ctx ssh.Context) {
	v := visitOf(ctx)
	key, ok := ctx.Value(ssh.ContextKeyPublicKey).(ssh.PublicKey)
	if !ok {
		_ = offer.Reject(gossh.Prohibited, "log in with a key")
		return
	}
	// What counts is what the file says now, of the key that was proven.
	e := s.keys.find(key, v.from, time.Now())
	if e == nil {
		_ = offer.Reject(gossh.Prohibited, "this key may not come in any more")
		return
	}
	first, ok := v.begin(conn)
	if !ok {
		_ = offer.Reject(gossh.ConnectionFailed, net.ErrClosed.Error())
		return
	}
	defer v.finish()
	id := string(key.Marshal())
	if err := s.gate.enter(id); err != nil {
		_ = offer.Reject(gossh.ResourceShortage, err.Error())
		s.cfg.Refused(v.from.String(), e.who+": "+err.Error())
		return
	}
	free := sync.OnceFunc(func() { s.gate.leave(id) })
	defer free()
	c := &channel{server: s, visit: v, entry: e, env: map[string]string{}, over: make(chan struct{})}
	c.ctx, c.end = context.WithCancelCause(context.Background())
	defer c.end(nil)
	if !s.enter(c) {
		_ = offer.Reject(gossh.ConnectionFailed, errStopping.Error())
		return
	}
	defer s.leave(c)
	var requests <-chan *gossh.Request
	var err error
	if c.Channel, requests, err = offer.Accept(); err != nil {
		return
	}
	if first {
		s.cfg.Log.Info("somebody came in over SSH", "who", e.who, "role", e.role, "source", v.from.String())
	}
	for req := range requests {
		wasStarted := c.started
		ok := c.take(req)
		if req.WantReply {
			_ = req.Reply(ok, nil)
		}
		if c.started && !wasStarted {
			c.running.Go(func() {
				c.work()
				free()
			})
		}
	}
	c.end(context.Canceled) // hung up
	c.running.Wait()
}

// take does what a request asks. Agents, X11, subsystems and whatever else
// there may be are not to be had.
func (c *channel) take(req *gossh.Request) bool {
	switch req.Type {
	case "pty-req":
		var p struct {
			Term          string
			Columns, Rows uint32
			Width, Height uint32
			Modes         string
		}
		if c.started || c.sizes != nil || gossh.Unmarshal(req.Payload, &p) != nil || len(p.Term) > maxValue {
			return false
		}
		c.term, c.sizes = p.Term, make(chan Size, 1)
		c.sizes <- sizeOf(p.Columns, p.Rows)
		return true
	case "window-change":
		var p struct{ Columns, Rows, Width, Height uint32 }
		if c.sizes == nil || gossh.Unmarshal(req.Payload, &p) != nil {
			return false
		}
		select {
		case <-c.sizes: // nobody took the last one yet
		default:
		}
		c.sizes <- sizeOf(p.Columns, p.Rows)
		return true
	case "env":
		var p struct{ Name, Value string }
		if c.started || gossh.Unmarshal(req.Payload, &p) != nil || !slices.Contains(looks, p.Name) ||
			len(p.Value) > maxValue {
			return false
		}
		c.env[p.Name] = p.Value
		return true
	case "shell":
		return c.start("")
	case "exec":
		var p struct{ Command string }
		return gossh.Unmarshal(req.Payload, &p) == nil && c.start(p.Command)
	case "signal":
		c.stop(errInterrupted)
		return true
	}
	return false
}

// start settles what was come for, once.
func (c *channel) start(command string) bool {
	if c.started {
		return false
	}
	c.started, c.command = true, command
	return true
}

// work does what was come for.
func (c *channel) work() {
	defer close(c.over)
	code := c.run(c.command)
	_, _ = c.SendRequest("exit-status", false, gossh.Marshal(struct{ Code uint32 }{uint32(code)}))
	_ = c.Close()
}

// run is a session from its command to its exit code.
func (c *channel) run(command string) (code int) {
	e := c.entry
	who := e.who + server.OverSSH
	s := &Session{Role: e.role, Who: who, Env: c.env, endpoint: c.server.Addr().String(),
		In: c.Channel, Out: c.Channel, Err: c.Stderr(),
		dial: func(ctx context.Context) (net.Conn, error) { return c.server.inside.dial(ctx, e.role, who) }}
	tell := s.Err
	if c.sizes != nil {
		tell = newlines{s.Err}
	}
	defer func() {
		if r := recover(); r != nil {
			c.server.cfg.Log.Error("an SSH session crashed", "who", who, "panic", r, "stack", string(debug.Stack()))
			fmt.Fprintln(tell, "fleettop: this session crashed, and the cluster knows nothing of it: see the daemon's log")
			code = 255
		}
	}()
	words, err := splitWords(command)
	if err != nil {
		fmt.Fprintln(tell, "fleettop:", err)
		return 2
	}
	s.Args = words
	switch {
	case c.sizes != nil && len(words) == 0:
		idle := time.AfterFunc(c.server.cfg.Limits.Idle, func() { c.stop(errIdle) })
		defer idle.Stop()
		s.In = &pressed{c.Channel, func() { idle.Reset(c.server.cfg.Limits.Idle) }}
		s.Terminal = &Terminal{Name: c.term, Sizes: c.sizes}
	case c.sizes != nil:
		s.In, s.Out, s.Err, s.Shown = strings.NewReader(""), newlines{s.Out}, tell, true
		c.running.Go(c.awaitInterrupt)
	}
	code = c.server.cfg.Run(c.ctx, s)
	for _, why := range []error{errStopping, errRevoked, errIdle} {
		if errors.Is(context.Cause(c.ctx), why) {
			fmt.Fprintln(tell, "fleettop:", why)
		}
	}
	return code
}

// stop ends a session from this side. One that doesn't end, as nobody takes
// what it writes, takes its connection along.
func (c *channel) stop(why error) {
	c.end(why)
	select {
	case <-c.over:
		return
	default:
	}
	time.AfterFunc(partingTime, func() {
		select {
		case <-c.over:
		default:
			c.visit.Close()
		}
	})
}

// awaitInterrupt ends a command on a terminal when ^C is pressed: such a
// terminal sends keys, not signals.
func (c *channel) awaitInterrupt() {
	buf := make([]byte, 256)
	for {
		n, err := c.Read(buf)
		if bytes.IndexByte(buf[:n], 0x03) >= 0 {
			c.stop(errInterrupted)
		}
		if err != nil {
			return
		}
	}
}

// pressed tells of every key.
type pressed struct {
	io.Reader
	tell func()
}

// Read implements io.Reader.
func (p *pressed) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if n > 0 {
		p.tell()
	}
	return n, err
}

// newlines writes lines for a terminal that is raw.
type newlines struct{ io.Writer }

// Write implements io.Writer.
func (w newlines) Write(p []byte) (int, error) {
	if _, err := w.Writer.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))); err != nil {
		return 0, err
	}
	return len(p), nil
}
