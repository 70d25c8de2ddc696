// Package sshdial reaches the daemon of another machine through the user's own ssh.
package sshdial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Stdio is fleettop's verb on the far machine, which connects its standard
// input and output to the daemon's API.
const Stdio = "dial-stdio"

// Remote is a daemon on a machine that the user's own ssh reaches.
type Remote struct {
	User, Host, Port string // the host alone is always there
	Socket           string // on the machine; empty for the usual ones
}

var (
	remoteWord   = regexp.MustCompile(`^[A-Za-z0-9_.:%@+][A-Za-z0-9_.:%@+-]*$`) // never an option of ssh's
	remoteSocket = regexp.MustCompile(`^/[A-Za-z0-9/._+-]*$`)                   // needs no quoting in any shell
)

// Parse reads ssh://[user@]host[:port][/path/of/socket]. Its errors say what
// is wrong with the text, and what to give instead.
func Parse(text string) (Remote, error) {
	bad := func(what string) (Remote, error) {
		return Remote{}, fmt.Errorf("host %q %s: give ssh://user@host or ssh://user@host:port", text, what)
	}
	u, err := url.Parse(text)
	if err == nil && strings.Count(u.Host, ":") > 1 && !strings.HasPrefix(u.Host,
		"[") || err != nil && strings.Count(text, ":") > 2 && !strings.Contains(text, "[") {
		return bad("has an IPv6 address without brackets: put it in them, as in ssh://[::1]:22")
	}
	switch {
	case err != nil || u.Scheme != "ssh" || u.Opaque != "" || u.RawQuery != "" || u.Fragment != "":
		return bad("is not an address of ssh's")
	case u.Hostname() == "":
		return bad("names no host")
	case !remoteWord.MatchString(u.Hostname()):
		return bad("has characters no host has")
	}
	r := Remote{Host: u.Hostname(), Port: u.Port(), Socket: strings.TrimSuffix(u.Path, "/")}
	if u.User != nil {
		if _, secret := u.User.Password(); secret {
			return bad("has a password in it, where everybody can see it; ssh asks for it, or takes a key")
		}
		if r.User = u.User.Username(); !remoteWord.MatchString(r.User) {
			return bad("has characters no user has")
		}
	}
	if n, err := strconv.ParseUint(r.Port, 10, 16); r.Port != "" && (err != nil || n == 0) {
		return bad("has no port there is")
	}
	if r.Socket != "" && !remoteSocket.MatchString(r.Socket) {
		return bad("names a socket with characters other than letters, digits and /._+-")
	}
	return r, nil
}

// Args returns ssh's arguments. All else is up to the user's configuration.
func (r Remote) Args() []string {
	args := []string{"-T"}
	if r.User != "" {
		args = append(args, "-l", r.User)
	}
	if r.Port != "" {
		args = append(args, "-p", r.Port)
	}
	args = append(args, "--", r.Host, "fleettop", Stdio)
	if r.Socket != "" {
		args = append(args, "--endpoint", "unix://"+r.Socket)
	}
	return args
}

// Dial starts an ssh whose standard input and output are the daemon's API. It
// returns an error where ssh can't be started; why it ends later is the
// connection's error. The caller closes the connection.
func (r Remote) Dial(context.Context) (net.Conn, error) { return startSSH(r.Args()) }

const (
	sshStop  = time.Second // how long ssh has to end by itself
	sshWords = 4 << 10     // bytes kept of what it said
)

// sshConn is the far daemon's API on the standard input and output of ssh.
type sshConn struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    io.ReadCloser
	said   *lastWords
	ended  chan struct{}
	closed sync.Once
}

func startSSH(args []string) (net.Conn, error) {
	cmd := exec.Command("ssh", args...)
	c := &sshConn{cmd: cmd, said: &lastWords{}, ended: make(chan struct{})}
	var err error
	if c.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if c.out, err = cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	cmd.Stderr = c.said
	cmd.WaitDelay = sshStop
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start ssh: %w: install OpenSSH's client", err)
	}
	return c, nil
}

// Read implements net.Conn. Where ssh ended, it says why.
func (c *sshConn) Read(p []byte) (int, error) {
	n, err := c.out.Read(p)
	if err != nil && n == 0 {
		err = c.explain(err)
	}
	return n, err
}

// Write implements net.Conn.
func (c *sshConn) Write(p []byte) (int, error) {
	n, err := c.in.Write(p)
	if err != nil {
		err = c.explain(err)
	}
	return n, err
}

func (c *sshConn) explain(err error) error {
	c.Close()
	if said := c.said.String(); said != "" {
		return errors.New("ssh: " + strings.TrimPrefix(said, "ssh: "))
	}
	return err
}

// Close implements net.Conn: it ends ssh and waits for that.
func (c *sshConn) Close() error {
	c.closed.Do(func() {
		c.in.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = c.cmd.Wait() // how it ended is in what it said
		}()
		select {
		case <-done:
		case <-time.After(sshStop):
			_ = c.cmd.Process.Kill()
			<-done
		}
		close(c.ended)
	})
	<-c.ended
	return nil
}

// LocalAddr implements net.Conn.
func (c *sshConn) LocalAddr() net.Addr { return sshAddr{} }

// RemoteAddr implements net.Conn.
func (c *sshConn) RemoteAddr() net.Addr { return sshAddr{} }

// SetDeadline implements net.Conn; pipes to a process have no deadlines, and
// requests end with their contexts.
func (c *sshConn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (c *sshConn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (c *sshConn) SetWriteDeadline(time.Time) error { return nil }

type sshAddr struct{}

func (sshAddr) Network() string { return "ssh" }
func (sshAddr) String() string  { return "ssh" }

// lastWords keeps the end of what a process says.
type lastWords struct {
	mu   sync.Mutex // guards text
	text []byte
}

// Write implements io.Writer.
func (w *lastWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	if over := len(w.text) - sshWords; over > 0 {
		w.text = w.text[over:]
	}
	return len(p), nil
}

// String is what was said, on one line.
func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(strings.Fields(string(w.text)), " ")
}
