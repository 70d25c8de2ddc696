package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// unixSocket is a unix socket of the API. It is made again when its file
// vanishes: without the file it can't be reached, however well it listens.
type unixSocket struct {
	Socket
	log *slog.Logger

	listeners chan net.Listener // the newest, for serve

	mu       sync.Mutex // guards what follows
	listener net.Listener
	made     os.FileInfo
	closed   bool
}

// openUnixSocket listens on a unix socket, in a directory that must be there. A
// socket left behind by a dead daemon is replaced, a living one's is not.
func openUnixSocket(at Socket, log *slog.Logger) (*unixSocket, error) {
	s := &unixSocket{Socket: at, log: log, listeners: make(chan net.Listener, 1)}
	return s, s.open()
}

// open makes the socket and hands its listener to serve.
func (s *unixSocket) open() error {
	l, err := listenUnix(s.Socket)
	if err != nil {
		return err
	}
	made, err := os.Lstat(s.Path)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return l.Close()
	}
	if s.listener != nil {
		s.listener.Close()
	}
	s.listener, s.made = l, made
	select {
	case <-s.listeners: // was never served
	default:
	}
	s.listeners <- l
	return nil
}

// restore makes the socket again if its file is gone, or is another one.
func (s *unixSocket) restore() {
	s.mu.Lock()
	made := s.made
	s.mu.Unlock()
	now, err := os.Lstat(s.Path)
	if err == nil && os.SameFile(now, made) {
		return
	}
	if err := s.open(); err != nil {
		s.log.Warn("the API's socket is gone and can't be made again; trying again", "error", err)
		return
	}
	s.log.Warn("the API's socket was gone; it was made again", "socket", s.Path)
}

// close removes the socket's file, if it is this socket's.
func (s *unixSocket) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	if s.listener == nil {
		return
	}
	if now, err := os.Lstat(s.Path); err == nil && os.SameFile(now, s.made) {
		os.Remove(s.Path)
	}
	s.listener.Close()
}

// serve serves connections of the socket until ctx ends. Those that came before
// it was made again go on.
func (s *unixSocket) serve(ctx context.Context, server *http.Server) error {
	var serving sync.WaitGroup
	for {
		select {
		case l := <-s.listeners:
			serving.Go(func() { _ = server.Serve(l) }) // until it is replaced or closed
			continue
		case <-ctx.Done():
		}
		s.close()
		shutDown(ctx, server)
		serving.Wait()
		return nil
	}
}

// listenUnix opens a socket for root and a group.
func listenUnix(at Socket) (*net.UnixListener, error) {
	if _, err := os.Stat(filepath.Dir(at.Path)); err != nil {
		return nil, fmt.Errorf("the directory of the socket: %w: make it, or choose another %s", err, at.Option)
	}
	if conn, err := net.Dial("unix", at.Path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("another daemon answers on %s: stop it first, or choose another %s", at.Path, at.Option)
	}
	if info, err := os.Lstat(at.Path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s is there and is no socket: move it away, or choose another %s", at.Path, at.Option)
	}
	if err := os.Remove(at.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// The umask keeps everyone else out from the first moment on.
	old := syscall.Umask(0o117)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: at.Path, Net: "unix"})
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", at.Path, err)
	}
	// By now another daemon's socket may have the path.
	l.SetUnlinkOnClose(false)
	if g, err := user.LookupGroup(at.Group); err == nil && os.Geteuid() == 0 {
		gid, err := strconv.Atoi(g.Gid)
		if err == nil {
			err = os.Chown(at.Path, 0, gid)
		}
		if err != nil {
			l.Close()
			return nil, fmt.Errorf("give %s to group %s: %w", at.Path, at.Group, err)
		}
	}
	return l, nil
}
