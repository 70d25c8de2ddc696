package sshd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/charmbracelet/ssh"
	"github.com/charmbracelet/wish"
	gossh "golang.org/x/crypto/ssh"

	"fleettop/units/retry"
)

const (
	// The ssh library doesn't count the first maxAuthTries keys that are offered and
	// refused, so a client has six tries, as with OpenSSH.
	maxAuthTries = 3
	keysEvery    = 2 * time.Second // between looks whether those who are in still may be
	partingTime  = time.Second     // for a session to leave its terminal tidily
	acceptPause  = 100 * time.Millisecond
)

// keyTypes are the kinds of keys that may come in; signAlgorithms is how they sign.
var (
	keyTypes = []string{gossh.KeyAlgoED25519, gossh.KeyAlgoSKED25519, gossh.KeyAlgoECDSA256, gossh.KeyAlgoECDSA384,
		gossh.KeyAlgoECDSA521,
		gossh.KeyAlgoSKECDSA256, gossh.KeyAlgoRSA}
	signAlgorithms = []string{gossh.KeyAlgoED25519, gossh.KeyAlgoSKED25519, gossh.KeyAlgoECDSA256, gossh.KeyAlgoECDSA384,
		gossh.KeyAlgoECDSA521,
		gossh.KeyAlgoSKECDSA256, gossh.KeyAlgoRSASHA256, gossh.KeyAlgoRSASHA512}
)

// What ends a session from this side, as told to the person.
var (
	errStopping    = errors.New("this daemon is stopping; the units keep running")
	errRevoked     = errors.New("the key's line has changed: come in again")
	errIdle        = errors.New("no key was pressed for long, so the console was closed")
	errInterrupted = errors.New("interrupted")
)

// Config says where a Server listens, and what for. All but Limits must be set.
type Config struct {
	Listen         string // host:port
	AuthorizedKeys string // the file of keys
	StateDir       string // where the host key is kept
	// Run does what a person came for and returns the exit code. It must
	// return soon after ctx has ended.
	Run func(ctx context.Context, s *Session) int
	// Refused is told of those who were not let in, however often they try.
	Refused func(source, why string)
	Log     *slog.Logger
	Limits  Limits
}

// Server is an SSH server.
type Server struct {
	cfg      Config
	listener net.Listener
	ssh      *ssh.Server
	keys     *keyring
	gate     *gate
	inside   *inside

	mu       sync.Mutex // guards what follows
	visits   map[*visit]struct{}
	sessions map[*channel]struct{}
	closing  bool
}

// Open listens; Run serves. It returns an error where the keys or the host key
// can't be trusted. A Server that is never run must be closed.
func Open(cfg Config) (*Server, error) {
	cfg.Limits.complete()
	keys, err := openKeyring(cfg.AuthorizedKeys, cfg.Log)
	if err != nil {
		return nil, err
	}
	text, signer, err := hostKey(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, keys: keys, gate: newGate(cfg.Limits), inside: newInside(),
		visits: map[*visit]struct{}{}, sessions: map[*channel]struct{}{}}
	s.ssh, err = wish.NewServer(wish.WithVersion("fleettop"), wish.WithHostKeyPEM(text), wish.WithPublicKeyAuth(s.admit),
		s.confine)
	if err != nil {
		return nil, fmt.Errorf("the SSH server: %w", err)
	}
	if s.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, fmt.Errorf("listen for SSH: %w: choose another --ssh-listen", err)
	}
	cfg.Log.Info("listening for SSH", "address", s.listener.Addr().String(), "host key",
		gossh.FingerprintSHA256(signer.PublicKey()), "keys", len(keys.current().keys))
	return s, nil
}

// confine leaves nothing of an SSH server but logins by key and sessions.
func (s *Server) confine(server *ssh.Server) error {
	server.ConnCallback = func(ctx ssh.Context, conn net.Conn) net.Conn {
		ctx.SetValue(visitKey{}, conn)
		return conn
	}
	server.ServerConfigCallback = func(ctx ssh.Context) *gossh.ServerConfig {
		v := visitOf(ctx)
		return &gossh.ServerConfig{MaxAuthTries: maxAuthTries, PublicKeyAuthAlgorithms: signAlgorithms,
			AuthLogCallback: func(_ gossh.ConnMetadata, method string, err error) { s.tried(v, method, err) }}
	}
	server.ChannelHandlers = map[string]ssh.ChannelHandler{"session": s.session}
	server.RequestHandlers = map[string]ssh.RequestHandler{}
	return nil
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Reload reads the file of keys again if it changed.
func (s *Server) Reload() { s.keys.current() }

// Close closes a server that does not run.
func (s *Server) Close() error { return s.listener.Close() }

// Run serves until ctx ends; it returns when everybody is out. The API is served
// to whoever is in, in contexts with their role and name.
func (s *Server) Run(ctx context.Context, api http.Handler) error {
	apiCtx, stopAPI := context.WithCancel(context.WithoutCancel(ctx))
	server := s.insideServer(apiCtx, api)
	var parts, visits sync.WaitGroup
	parts.Go(func() { _ = server.Serve(s.inside) })
	parts.Go(func() { s.watchKeys(ctx) })
	stop := context.AfterFunc(ctx, func() { s.listener.Close() })
	err := s.accept(ctx, &visits)
	stop()
	s.listener.Close()
	s.sendOff(partingTime)
	visits.Wait()
	s.inside.Close()
	stopAPI()
	server.Close()
	parts.Wait()
	return err
}

// accept receives whoever comes until the listener is closed.
func (s *Server) accept(ctx context.Context, visits *sync.WaitGroup) error {
	for told := false; ; {
		conn, err := s.listener.Accept()
		switch {
		case err == nil:
			told = false
			visits.Go(func() { s.receive(conn) })
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("serve SSH: %w", err)
		default: // such as too many open files: it passes
			if !told {
				s.cfg.Log.Warn("can't let anybody in over SSH at the moment", "error", err)
			}
			told = true
			retry.Pause(ctx, acceptPause)
		}
	}
}

// receive is one connection, from the first byte to the last.
func (s *Server) receive(conn net.Conn) {
	v := &visit{Conn: conn, from: sourceOf(conn.RemoteAddr()), limits: &s.cfg.Limits, gone: make(chan struct{})}
	v.login = s.gate.begin(v.from, time.Now(), func() { v.Close() })
	s.mu.Lock()
	closing := s.closing
	s.visits[v] = struct{}{}
	s.mu.Unlock()
	if closing {
		conn.Close()
	}
	v.setClock(s.cfg.Limits.FirstWord)
	s.ssh.HandleConn(v)
	v.end()
	s.mu.Lock()
	delete(s.visits, v)
	s.mu.Unlock()
	if v.isIn() {
		return
	}
	why := v.failure()
	s.gate.end(v.login, time.Now(), why != "")
	if why != "" {
		s.cfg.Refused(v.from.String(), why)
	}
}

// admit reports whether a key may come in. Who it is stays open until the key is proven.
func (s *Server) admit(ctx ssh.Context, key ssh.PublicKey) bool {
	v := visitOf(ctx)
	if s.keys.find(key, v.from, time.Now()) == nil {
		v.offered(gossh.FingerprintSHA256(key))
		if s.gate.owes(v.login, time.Now()) {
			v.Close()
		}
		return false
	}
	s.gate.showed(v.login)
	v.setClock(s.cfg.Limits.Login)
	return true
}

// tried takes the outcome of a try to log in.
func (s *Server) tried(v *visit, method string, err error) {
	if err != nil {
		v.missed(method)
		return
	}
	v.letIn()
	s.gate.end(v.login, time.Now(), false)
}

// watchKeys ends the sessions of those who may not be in any more, or not as they are.
func (s *Server) watchKeys(ctx context.Context) {
	tick := time.NewTicker(keysEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, c := range s.open() {
				if e := s.keys.find(c.entry.key, c.visit.from, now); e == nil || !e.same(c.entry) {
					c.stop(errRevoked)
				}
			}
		}
	}
}

func (s *Server) open() []*channel {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*channel
	for c := range s.sessions {
		list = append(list, c)
	}
	return list
}

// sendOff ends all sessions, gives them a moment, and closes all connections.
func (s *Server) sendOff(patience time.Duration) {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	for _, c := range s.open() {
		c.stop(errStopping)
	}
	late := time.After(patience)
	for _, c := range s.open() {
		select {
		case <-c.over:
		case <-late:
			late = time.After(0)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for v := range s.visits {
		v.Close()
	}
}

// enter lists a session, unless the server is closing.
func (s *Server) enter(c *channel) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.sessions[c] = struct{}{}
	return true
}

func (s *Server) leave(c *channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, c)
}
