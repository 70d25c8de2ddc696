package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

type actorKey struct{}

// WithActor returns a context whose requests count as done by a person.
func WithActor(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, actorKey{}, who)
}

// ConnContext notes who is at the other end of a connection, for
// http.Server.ConnContext: over a unix socket the kernel's word on the user,
// else the remote address.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return WithActor(ctx, c.RemoteAddr().String())
	}
	uid, err := peerUID(uc)
	if err != nil {
		return ctx
	}
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return WithActor(ctx, u.Username)
	}
	return WithActor(ctx, "uid "+id)
}

func peerUID(c *net.UnixConn) (uint32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var optErr error
	err = raw.Control(func(fd uintptr) {
		cred, optErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, optErr); err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

func actor(r *http.Request) string {
	who, _ := r.Context().Value(actorKey{}).(string)
	return who
}
