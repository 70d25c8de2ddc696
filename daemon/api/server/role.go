package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
)

// access is what an endpoint asks of a role. Its zero value lets nobody in.
type access int

const (
	permRead     access = iota + 1 // any role
	permWrite                      // operators
	permMachine                    // machines
	permDelegate                   // operators, and machines, which ask for them
	permAnybody                    // also without a role
)

// may is the one place where roles are decided.
func may(r api.Role, a access) bool {
	switch a {
	case permRead:
		return r == api.Viewer || r == api.Operator || r == api.MachineRole
	case permWrite:
		return r == api.Operator
	case permDelegate:
		return r == api.Operator || r == api.MachineRole
	case permMachine:
		return r == api.MachineRole
	case permAnybody:
		return true
	}
	return false
}

// OverSSH ends the names of people who came in over the daemon's SSH server.
const OverSSH = " (ssh)"

type roleKey struct{}

// WithRole returns a context whose requests are made in a role.
func WithRole(ctx context.Context, role api.Role) context.Context {
	return context.WithValue(ctx, roleKey{}, role)
}

// RoleOf is the role that a request's context was given, or "".
func RoleOf(ctx context.Context) api.Role {
	role, _ := ctx.Value(roleKey{}).(api.Role)
	return role
}

// AsRole gives every request the role of the door that it came through.
func AsRole(role api.Role, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(WithRole(r.Context(), role)))
	})
}

// endpoint is a handler and who may use it.
type endpoint struct {
	access access
	serve  http.HandlerFunc
}

// guard lets a request through to an endpoint if its role may, and otherwise
// refuses it and has that recorded.
func (s *Server) guard(e endpoint, w http.ResponseWriter, r *http.Request) {
	role := RoleOf(r.Context())
	if may(role, e.access) {
		e.serve(w, r)
		return
	}
	s.recordRefusal(r, role)
	switch {
	case role == "":
		refuse(w, r, api.Refuse(api.CodeForbidden, "use the daemon's own sockets", "this way in has no role"))
	case e.access == permMachine:
		refuse(w, r, api.Refuse(api.CodeForbidden, "the daemons do it by themselves",
			"%s %s is for machines, and you are %s here", r.Method, r.URL.Path, role))
	default:
		how := "ask a member of the group " + api.Group + ", or become one"
		if strings.HasSuffix(actor(r), OverSSH) {
			how = "ask an operator, or for fleettop-role=\"operator\" before your key"
		}
		refuse(w, r, api.Refuse(api.CodeForbidden, how,
			"this is for operators, and you are %s here (%s %s)", role, r.Method, r.URL.Path))
	}
}

const (
	refusalEvery = time.Minute // a refusal of the same person at the same path is recorded this often
	refusalKinds = 64          // so many of them a minute
	refusalPath  = 120         // bytes of a path that are recorded
)

// refusals remembers what was recorded lately.
type refusals struct {
	mu   sync.Mutex // guards last
	last map[string]time.Time
}

func (f *refusals) due(kind string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, at := range f.last {
		if now.Sub(at) >= refusalEvery {
			delete(f.last, k)
		}
	}
	if _, told := f.last[kind]; told || len(f.last) >= refusalKinds {
		return false
	}
	if f.last == nil {
		f.last = map[string]time.Time{}
	}
	f.last[kind] = now
	return true
}

// recordRefusal puts a refused attempt into the log and the timeline.
func (s *Server) recordRefusal(r *http.Request, role api.Role) {
	what := r.Method + " " + r.URL.Path
	if len(what) > refusalPath {
		what = what[:refusalPath] + "…"
	}
	who := actor(r)
	now := time.Now()
	if !s.refusals.due(who+"\x00"+what, now) {
		return
	}
	s.cfg.Log.Warn("refused", "by", who, "role", role, "what", what)
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	ev := cluster.Event{Kind: cluster.EventRefused, Machine: s.cfg.Self, Time: now, By: who,
		Text: fmt.Sprintf("%q was refused: the role %q may not", what, role)}
	if err := s.cfg.Store.Record(ctx, ev); err != nil {
		s.cfg.Log.Warn("a refusal is not in the timeline", "error", err)
	}
}
