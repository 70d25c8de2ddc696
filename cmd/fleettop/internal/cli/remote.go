package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"fleettop/daemon/api/client"
)

// remote is a daemon on a machine that the user's own ssh reaches.
type remote struct {
	user, host, port string
	socket           string // on the machine; empty for the usual ones
}

var (
	remoteWord   = regexp.MustCompile(`^[A-Za-z0-9_.:%@+][A-Za-z0-9_.:%@+-]*$`) // never an option of ssh's
	remoteSocket = regexp.MustCompile(`^/[A-Za-z0-9/._+-]*$`)                   // needs no quoting in any shell
)

// parseRemote reads ssh://[user@]host[:port][/path/of/socket].
func parseRemote(text string) (remote, error) {
	bad := func(what string) (remote, error) {
		return remote{}, fmt.Errorf("host %q %s: give ssh://user@host or ssh://user@host:port", text, what)
	}
	u, err := url.Parse(text)
	if err == nil && strings.Count(u.Host, ":") > 1 && !strings.HasPrefix(u.Host, "[") || err != nil && strings.Count(text, ":") > 2 && !strings.Contains(text, "[") {
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
	r := remote{host: u.Hostname(), port: u.Port(), socket: strings.TrimSuffix(u.Path, "/")}
	if u.User != nil {
		if _, secret := u.User.Password(); secret {
			return bad("has a password in it, where everybody can see it; ssh asks for it, or takes a key")
		}
		if r.user = u.User.Username(); !remoteWord.MatchString(r.user) {
			return bad("has characters no user has")
		}
	}
	if n, err := strconv.ParseUint(r.port, 10, 16); r.port != "" && (err != nil || n == 0) {
		return bad("has no port there is")
	}
	if r.socket != "" && !remoteSocket.MatchString(r.socket) {
		return bad("names a socket with characters other than letters, digits and /._+-")
	}
	return r, nil
}

// args is ssh's command line. All else is up to the user's configuration.
func (r remote) args() []string {
	args := []string{"-T"}
	if r.user != "" {
		args = append(args, "-l", r.user)
	}
	if r.port != "" {
		args = append(args, "-p", r.port)
	}
	args = append(args, "--", r.host, "fleettop", dialStdio)
	if r.socket != "" {
		args = append(args, "--endpoint", "unix://"+r.socket)
	}
	return args
}

// dialRemote returns a client whose requests all go through one ssh, which is
// started with the first one, and anew when it has ended.
func dialRemote(text string) (*client.Client, error) {
	r, err := parseRemote(text)
	if err != nil {
		return nil, err
	}
	return client.DialMultiplexed(text, func(context.Context) (net.Conn, error) { return startSSH(r.args()) }), nil
}

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

const dialStdio = "dial-stdio"

// dialStdioCommand is the far side of an ssh:// host.
func (a *app) dialStdioCommand() *cobra.Command {
	return &cobra.Command{
		Use:    dialStdio,
		Short:  "Connect the standard input and output to the daemon's API",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.visitor != nil {
				return a.visitorsSocket(cmd)
			}
			conn, err := client.DialSocket(cmd.Context(), a.endpoint)
			if err != nil {
				return err
			}
			defer conn.Close()
			stop := context.AfterFunc(cmd.Context(), func() { conn.Close() })
			defer stop()
			return bridge(conn, a.in, a.raw())
		},
	}
}

// bridge copies both ways until the daemon or the other side has ended.
func bridge(conn net.Conn, in io.Reader, out io.Writer) error {
	go func() {
		_, _ = io.Copy(conn, in)
		// The other side is gone or has nothing more to ask; what is still
		// to be answered is, unless the connection can't be half closed.
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		} else {
			conn.Close()
		}
	}()
	_, err := io.Copy(out, conn)
	if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}
