package sshd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"fleettop/daemon/api/server"
)

// house is a server under test, whose sessions do what a test says.
type house struct {
	*Server
	t       *testing.T
	keys    string // the file
	mu      sync.Mutex
	refused []string
	do      func(context.Context, *Session) int
}

// whoami is an API that tells each request's role.
var whoami = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w,
		server.RoleOf(r.Context()))
})

// open runs a server until the test ends, when no goroutine of it may be left.
func open(t *testing.T, limits Limits, lines ...string) *house {
	t.Helper()
	dir := t.TempDir()
	h := &house{t: t, keys: filepath.Join(dir, "keys")}
	h.do = func(_ context.Context, s *Session) int {
		fmt.Fprintf(s.Out, "%s %s %q", s.Role, s.Who, s.Args)
		return len(s.Args)
	}
	must(t, os.WriteFile(h.keys, []byte(strings.Join(lines, "\n")), 0o600))
	var err error
	h.Server, err = Open(Config{Listen: "127.0.0.1:0", AuthorizedKeys: h.keys, StateDir: dir, Limits: limits,
		Run: func(ctx context.Context, s *Session) int { return h.do(ctx, s) }, Log: slog.New(slog.DiscardHandler),
		Refused: func(source, why string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.refused = append(h.refused, source+": "+why)
		}})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx, whoami) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			must(t, err)
		case <-time.After(60 * time.Second):
			t.Fatalf("it doesn't end:\n%s", stacks())
		}
		eventually(t, "no goroutine of the server to be left", func() error {
			if all := stacks(); strings.Contains(all, "sshd.(*Server)") || strings.Contains(all, "sshd.(*visit)") ||
				strings.Contains(all, "sshd.(*channel)") || strings.Contains(all, "charmbracelet/ssh") {
				return errors.New(all)
			}
			return nil
		})
	})
	return h
}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

func eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s: %v", what, err)
		}
	}
}

// heard waits until somebody was refused with some words.
func (h *house) heard(words string) {
	h.t.Helper()
	eventually(h.t, "a word about "+words, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if !slices.ContainsFunc(h.refused, func(s string) bool {
			return strings.Contains(s, words) &&
				strings.HasPrefix(s, "127.0.0.1: ")
		}) {
			return fmt.Errorf("refused: %q", h.refused)
		}
		return nil
	})
}

func (h *house) dial(auth ...gossh.AuthMethod) (*gossh.Client, error) {
	return gossh.Dial("tcp", h.Addr().String(), &gossh.ClientConfig{User: "anybody", Auth: auth, Timeout: 60 * time.Second,
		HostKeyCallback: gossh.InsecureIgnoreHostKey()})
}

// in is a connection of somebody with a key.
func (h *house) in(key gossh.Signer) *gossh.Client {
	h.t.Helper()
	c, err := h.dial(gossh.PublicKeys(key))
	must(h.t, err)
	h.t.Cleanup(func() { c.Close() })
	return c
}

// run runs a command over a connection.
func (h *house) run(c *gossh.Client, command string) (out string, code int) {
	h.t.Helper()
	s, err := c.NewSession()
	must(h.t, err)
	defer s.Close()
	raw, err := s.Output(command)
	if exit := (*gossh.ExitError)(nil); errors.As(err, &exit) {
		return string(raw), exit.ExitStatus()
	}
	must(h.t, err)
	return string(raw), 0
}

func TestRolesByKey(t *testing.T) {
	viewer, viewerLine := newKey(t)
	operator, operatorLine := newKey(t)
	stranger, _ := newKey(t)
	h := open(t, Limits{}, viewerLine+" view", `fleettop-role="operator" `+operatorLine+" view@desk")
	if out, code := h.run(h.in(viewer), "a 'b c'"); out != `viewer view (ssh) ["a" "b c"]` || code != 2 {
		t.Errorf("a viewer: %s, %d", out, code)
	}
	c := h.in(operator)
	for range 3 { // several over one connection
		if out, code := h.run(c, "x"); out != `operator view@desk (ssh) ["x"]` || code != 1 {
			t.Errorf("an operator: %s, %d", out, code)
		}
	}
	if _, code := h.run(c, "a; b"); code != 2 {
		t.Errorf("a shell's command ended with %d", code)
	}
	if _, err := h.dial(gossh.PublicKeys(stranger)); err == nil {
		t.Fatal("a stranger is in")
	}
	h.heard("none of its keys may come in, the last was " + gossh.FingerprintSHA256(stranger.PublicKey()))
	// The key that counts is the proven one, not the last one that was shown.
	if out, _ := h.run(h.in(viewer), "x"); !strings.HasPrefix(out, "viewer") {
		t.Errorf("after others: %s", out)
	}
	if out, _ := h.run(func() *gossh.Client {
		c, err := h.dial(gossh.PublicKeys(stranger, viewer, operator))
		must(t, err)
		return c
	}(), "x"); !strings.HasPrefix(out, "viewer") {
		t.Errorf("with several keys: %s", out)
	}
}

func TestOnlyKeys(t *testing.T) {
	_, line := newKey(t)
	h := open(t, Limits{}, line)
	for name, auth := range map[string]gossh.AuthMethod{
		"password": gossh.Password("secret"),
		"keyboard-interactive": gossh.KeyboardInteractive(func(string, string, []string, []bool) ([]string, error) {
			t.Error("it asks for something")
			return nil, nil
		}),
	} {
		if _, err := h.dial(auth); err == nil || !strings.Contains(err.Error(), "no supported methods remain") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := h.dial(); err == nil {
		t.Error("in with nothing")
	}
	h.heard("it has no key")
}

// TestNothingButSessions asks for all else that an SSH server may have.
func TestNothingButSessions(t *testing.T) {
	key, line := newKey(t)
	h := open(t, Limits{}, `fleettop-role="operator" `+line)
	c := h.in(key)
	if _, err := c.Dial("tcp", h.Addr().String()); err == nil ||
		!strings.Contains(err.Error(), "unsupported channel type") {
		t.Errorf("a forwarded connection: %v", err)
	}
	if _, err := c.Dial("unix", "/run/fleettop/fleettop.sock"); err == nil {
		t.Error("a forwarded socket")
	}
	if l, err := c.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
		t.Error("a forwarded port")
	}
	if l, err := c.ListenUnix(filepath.Join(t.TempDir(), "x")); err == nil {
		l.Close()
		t.Error("a forwarded socket of this machine")
	}
	for _, kind := range []string{"x11", "auth-agent@openssh.com", "tun@openssh.com"} {
		if _, _, err := c.OpenChannel(kind, nil); err == nil {
			t.Errorf("a channel %s", kind)
		}
	}
	s, err := c.NewSession()
	must(t, err)
	defer s.Close()
	for kind, payload := range map[string][]byte{
		"auth-agent-req@openssh.com": nil,
		"x11-req":                    gossh.Marshal(struct{ A, B bool }{}),
		"subsystem":                  gossh.Marshal(struct{ Name string }{"sftp"}),
		"break":                      gossh.Marshal(struct{ N uint32 }{1}),
		"env":                        gossh.Marshal(struct{ K, V string }{"LD_PRELOAD", "/tmp/x.so"}),
		"pty-req":                    []byte("nonsense"),
		"window-change":              nil,
		"exec":                       nil,
	} {
		if ok, err := s.SendRequest(kind, true, payload); ok || err != nil {
			t.Errorf("%s: %v, %v", kind, ok, err)
		}
	}
	must(t, s.Start("x"))
	if ok, _ := s.SendRequest("exec", true, gossh.Marshal(struct{ C string }{"y"})); ok {
		t.Error("two commands in one session")
	}
}

// TestTheAPIFromInside reaches the API in the role of each session.
func TestTheAPIFromInside(t *testing.T) {
	viewer, viewerLine := newKey(t)
	operator, operatorLine := newKey(t)
	h := open(t, Limits{}, viewerLine, `fleettop-role="operator" `+operatorLine)
	h.do = func(ctx context.Context, s *Session) int {
		client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn,
			error) {
			return s.Dial(ctx)
		}}}
		defer client.CloseIdleConnections()
		for range 2 {
			resp, err := client.Get("http://fleettop/")
			if err != nil {
				fmt.Fprint(s.Err, err)
				return 1
			}
			io.Copy(s.Out, resp.Body)
			resp.Body.Close()
		}
		return 0
	}
	for key, want := range map[gossh.Signer]string{viewer: "viewerviewer", operator: "operatoroperator"} {
		if out, code := h.run(h.in(key), "x"); out != want || code != 0 {
			t.Errorf("%s, %d; want %s", out, code, want)
		}
	}
}

// TestRevoked ends sessions when their key's line goes or changes.
func TestRevoked(t *testing.T) {
	key, line := newKey(t)
	h := open(t, Limits{}, `fleettop-role="operator" `+line)
	h.do = func(ctx context.Context, s *Session) int { <-ctx.Done(); return 7 }
	for _, next := range []string{line, ""} {
		c := h.in(key)
		s, err := c.NewSession()
		must(t, err)
		var said strings.Builder
		s.Stderr = &said
		must(t, s.Start("x"))
		must(t, os.WriteFile(h.keys, []byte(next), 0o600))
		exit := (*gossh.ExitError)(nil)
		if err := s.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 7 ||
			!strings.Contains(said.String(), "line has changed") {
			t.Errorf("with %q: %v: %s", next, err, said.String())
		}
		if next == "" {
			if _, err := c.NewSession(); err == nil || !strings.Contains(err.Error(), "may not come in any more") {
				t.Errorf("one more session on the old connection: %v", err)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	key, line := newKey(t)
	other, otherLine := newKey(t)
	h := open(t, Limits{Sessions: 3, SessionsPerKey: 2}, line, otherLine)
	release := make(chan struct{})
	h.do = func(ctx context.Context, s *Session) int {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return 0
	}
	start := func(k gossh.Signer) (*gossh.Session, error) {
		s, err := h.in(k).NewSession()
		if err == nil {
			err = s.Start("x")
		}
		return s, err
	}
	var open []*gossh.Session
	for _, k := range []gossh.Signer{key, key, other} {
		s, err := start(k)
		must(t, err)
		open = append(open, s)
	}
	if _, err := start(key); err == nil || !strings.Contains(err.Error(), "3 sessions are open") {
		t.Errorf("a fourth session: %v", err)
	}
	open[2].Close()
	eventually(t, "room for one more key", func() error {
		if _, err := start(key); err == nil || !strings.Contains(err.Error(), "this key has 2") {
			return fmt.Errorf("a third session of a key: %v", err)
		}
		return nil
	})
	h.heard("this key has 2 sessions open")
	close(release)
	for _, s := range open[:2] {
		must(t, s.Wait())
	}
	if _, err := start(key); err != nil {
		t.Errorf("when others have left: %v", err)
	}
}

// TestStrangersHaveOneTry tries to log in again and again.
func TestStrangersHaveOneTry(t *testing.T) {
	stranger, _ := newKey(t)
	key, line := newKey(t)
	h := open(t, Limits{Burst: 3, PerFailure: time.Hour}, line)
	for range 10 { // who may come in may come often
		h.run(h.in(key), "x")
	}
	eventually(t, "the stranger to be cut off at its first key", func() error {
		if _, err := h.dial(gossh.PublicKeys(stranger)); err == nil ||
			strings.Contains(err.Error(), "unable to authenticate") {
			return fmt.Errorf("it could try another: %v", err)
		}
		return nil
	})
	h.heard("none of its keys may come in")
	// Its neighbour is not kept out.
	if out, code := h.run(h.in(key), "x"); code != 1 {
		t.Errorf("somebody with the right key, from the same address: %d %s", code, out)
	}
	if _, err := h.dial(gossh.PublicKeys(stranger, key)); err == nil {
		t.Error("the stranger had a second key to try")
	}
}

// TestSilentConnectionsKeepNoOneOut fills the address's places, and all places,
// with connections that say nothing.
func TestSilentConnectionsKeepNoOneOut(t *testing.T) {
	key, line := newKey(t)
	for name, limits := range map[string]Limits{"of one address": {LoginsPerFrom: 4}, "of all": {Logins: 4}} {
		t.Run(name, func(t *testing.T) {
			h := open(t, limits, line)
			for range 8 {
				c, err := net.Dial("tcp", h.Addr().String())
				must(t, err)
				defer c.Close()
				// Its turn came when the server has said something.
				must(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
				if _, err := c.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
			}
			if out, code := h.run(h.in(key), "x"); code != 1 {
				t.Errorf("somebody with a key was answered %d %s", code, out)
			}
		})
	}
}

func TestMaxAuthTries(t *testing.T) {
	key, line := newKey(t)
	h := open(t, Limits{}, line)
	var many []gossh.Signer
	for range 10 {
		k, _ := newKey(t)
		many = append(many, k)
	}
	if _, err := h.dial(gossh.PublicKeys(append(many, key)...)); err == nil {
		t.Error("in with the eleventh key")
	}
}

// TestSlowLogins connects and says nothing, or half of it.
func TestSlowLogins(t *testing.T) {
	_, line := newKey(t)
	h := open(t, Limits{FirstWord: 50 * time.Millisecond, LoginsPerFrom: 2}, line)
	for _, word := range []string{"", "SSH-2.0-slow\r\n"} {
		c, err := net.Dial("tcp", h.Addr().String())
		must(t, err)
		defer c.Close()
		fmt.Fprint(c, word)
		must(t, c.SetReadDeadline(time.Now().Add(60*time.Second)))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: it is still waiting", word)
		}
	}
	h.heard("did not log in in time")
}

func TestEmptyAndDeadConnections(t *testing.T) {
	key, line := newKey(t)
	const dead = 1500 * time.Millisecond // far more than a busy machine takes for an answer
	h := open(t, Limits{Empty: dead, Alive: 20 * time.Millisecond, Dead: dead}, line)
	ended := make(chan struct{})
	h.do = func(ctx context.Context, s *Session) int { <-ctx.Done(); close(ended); return 0 }
	wait := func(c *gossh.Client) {
		t.Helper()
		gone := make(chan struct{})
		go func() { c.Wait(); close(gone) }()
		select {
		case <-gone:
		case <-time.After(60 * time.Second):
			t.Error("the connection is still there")
		}
	}
	wait(h.in(key)) // without a session

	// A client whose machine froze: its kernel still answers, it doesn't.
	wire, err := net.Dial("tcp", h.Addr().String())
	must(t, err)
	frozen := &freezer{Conn: wire, thaw: make(chan struct{})}
	conn, chans, reqs, err := gossh.NewClientConn(frozen, "", &gossh.ClientConfig{User: "x",
		Auth:            []gossh.AuthMethod{gossh.PublicKeys(key)},
		HostKeyCallback: gossh.InsecureIgnoreHostKey()})
	must(t, err)
	c := gossh.NewClient(conn, chans, reqs)
	s, err := c.NewSession()
	must(t, err)
	must(t, s.Start("x"))
	time.Sleep(2 * dead)
	select {
	case <-ended:
		t.Error("a client that answers was thrown out")
	default:
	}
	frozen.freeze()
	select {
	case <-ended:
	case <-time.After(60 * time.Second):
		t.Error("a frozen client's session goes on")
	}
	close(frozen.thaw)
	c.Close()
}

// freezer is a connection that stops to read.
type freezer struct {
	net.Conn
	mu     sync.Mutex
	frozen bool
	thaw   chan struct{}
}

func (f *freezer) freeze() {
	f.mu.Lock()
	f.frozen = true
	f.mu.Unlock()
}

func (f *freezer) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	f.mu.Lock()
	frozen := f.frozen
	f.mu.Unlock()
	if frozen {
		<-f.thaw
	}
	return n, err
}

// TestTerminals opens consoles: sizes, idle ones, ^C at a command.
func TestTerminals(t *testing.T) {
	key, line := newKey(t)
	const idle = 1500 * time.Millisecond // far more than a busy machine takes for a key
	h := open(t, Limits{Idle: idle}, line)
	sizes := make(chan Size, 10)
	h.do = func(ctx context.Context, s *Session) int {
		fmt.Fprintln(s.Out, "begun")
		if s.Terminal == nil {
			<-ctx.Done()
			return 130
		}
		go io.Copy(io.Discard, s.In)
		for {
			select {
			case size := <-s.Terminal.Sizes:
				sizes <- size
			case <-ctx.Done():
				return 1
			}
		}
	}
	s, err := h.in(key).NewSession()
	must(t, err)
	in, err := s.StdinPipe()
	must(t, err)
	var said strings.Builder
	s.Stderr = &said
	must(t, s.RequestPty("xterm", 24, 80, nil))
	must(t, s.Shell())
	want := func(size Size) {
		t.Helper()
		if got := <-sizes; got != size {
			t.Errorf("its size is %v, want %v", got, size)
		}
	}
	want(Size{80, 24})
	must(t, s.WindowChange(40, 120))
	want(Size{120, 40})
	must(t, s.WindowChange(1<<30, 1<<30))
	want(Size{maxSide, maxSide})
	var last time.Time
	for began := time.Now(); time.Since(began) < 2*idle; time.Sleep(100 * time.Millisecond) {
		last = time.Now()
		in.Write([]byte("j"))
	}
	_ = s.Wait()
	if took := time.Since(last); took < idle || !strings.Contains(said.String(), "no key was pressed") {
		t.Errorf("it ended %v after the last key, and said %q; want %v and that no key was pressed", took, said.String(),
			idle)
	}

	s, err = h.in(key).NewSession()
	must(t, err)
	in, err = s.StdinPipe()
	must(t, err)
	out, err := s.StdoutPipe()
	must(t, err)
	must(t, s.RequestPty("xterm", 24, 80, nil))
	must(t, s.Start("journal -f"))
	line1 := make([]byte, 7)
	if _, err := io.ReadFull(out, line1); err != nil || string(line1) != "begun\r\n" {
		t.Errorf("%q, %v", line1, err)
	}
	in.Write([]byte("abc\x03"))
	exit := (*gossh.ExitError)(nil)
	if err := s.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 130 {
		t.Errorf("after ^C: %v", err)
	}
}

// TestCrash lets a session crash: the others don't notice.
func TestCrash(t *testing.T) {
	key, line := newKey(t)
	h := open(t, Limits{}, line)
	h.do = func(_ context.Context, s *Session) int {
		if s.Args[0] == "crash" {
			panic("a test")
		}
		return 3
	}
	c := h.in(key)
	if _, code := h.run(c, "crash"); code != 255 {
		t.Errorf("a crash ended with %d", code)
	}
	if _, code := h.run(c, "x"); code != 3 {
		t.Errorf("then %d", code)
	}
}

// TestStuckSession ends a session that nobody reads from with the server.
func TestStuckSession(t *testing.T) {
	key, line := newKey(t)
	h := open(t, Limits{}, line)
	writing := make(chan struct{})
	h.do = func(ctx context.Context, s *Session) int {
		close(writing)
		_, err := io.Copy(s.Out, zeros{})
		fmt.Fprint(s.Err, err)
		return 0
	}
	s, err := h.in(key).NewSession()
	must(t, err)
	_, err = s.StdoutPipe() // never read
	must(t, err)
	must(t, s.Start("x"))
	<-writing
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
