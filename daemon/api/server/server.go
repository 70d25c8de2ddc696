// Package server answers the API of package api over HTTP, from a daemon's view
// and store. It decides who may do what, and what a verb makes of a unit.
package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/view"
)

const (
	maxBody = 32 << 20
	// storePatience is how long a request waits for the store.
	storePatience = 5 * time.Second
)

// Health is what the daemon shows of the machines of a snapshot, by ID; live
// says that the snapshot is current. The channel is closed at the next change.
type Health interface {
	Of(snap *cluster.Snapshot, live bool) map[string]cluster.Health
	Changed() <-chan struct{}
}

// Config is what a Server serves from.
type Config struct {
	Store   cluster.Store
	View    *view.View
	Health  Health
	Self    string // ID of the machine this daemon runs on
	Version string
	// Leave makes this machine leave the cluster for good, and reports how far
	// it is; the daemon ends soon after it returned nil. It must not wait for
	// running requests.
	Leave func(ctx context.Context, by string, req api.LeaveRequest, report func(api.Progress)) (*api.Moved, error)
	Keys  KeyKeeper // nil where there is no key
	// Logs and Stats serve the logs and the figures; nil for none.
	Logs  Logs
	Stats StatsKeeper
	// Connectivity tells which machine reaches which; nil for none.
	Connectivity ConnectivityKeeper
	Hosts        Hosts // what machines run under files of their own
	// SendTest sends a test to this daemon's receivers of notices; nil where it has none.
	SendTest func(ctx context.Context, by string) *api.NotifyReport
	Log      *slog.Logger
	// Heartbeat is the longest silence on a stream; default 5 s.
	Heartbeat time.Duration
	// SlowReader is how long a stream's reader may take nothing before it is cut off; default 10 s.
	SlowReader time.Duration
}

// Server answers the API. It is an http.Handler whose requests end with their
// contexts; it starts no goroutines that outlive a request.
type Server struct {
	cfg       Config
	mux       *http.ServeMux
	endpoints map[string]map[string]endpoint // by path and method
	refusals  refusals
	facts     *unitCache
	fleet     *fleetLists
	metrics   *metrics
}

// New returns a Server.
func New(cfg Config) *Server {
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, 5*time.Second)
	cfg.SlowReader = cmp.Or(cfg.SlowReader, 10*time.Second)
	s := &Server{cfg: cfg, mux: http.NewServeMux(), facts: newUnitCache(), fleet: newFleetLists()}
	s.metrics = newMetrics(s)
	s.endpoints = map[string]map[string]endpoint{}
	for _, r := range s.routes() {
		if s.endpoints[r.path] == nil {
			s.endpoints[r.path] = map[string]endpoint{}
		}
		s.endpoints[r.path][r.method] = endpoint{r.access, r.serve}
	}
	for path, m := range s.endpoints {
		s.mux.Handle(path, s.byMethod(m))
	}
	return s
}

// ServeHTTP implements http.Handler. What panics ends the request, and is logged.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if fault := recover(); fault != nil {
			if fault != http.ErrAbortHandler {
				s.cfg.Log.Error("a request failed by a fault of this daemon", "request", r.Method+" "+r.URL.Path, "fault", fault,
					"stack", string(debug.Stack()))
			}
			panic(http.ErrAbortHandler)
		}
	}()
	s.mux.ServeHTTP(s.metrics.count(w), r)
}

// HTTPServer returns an http.Server for the handler, with limits fit for it.
// Its streams end when ctx does; then Shutdown returns soon.
func HTTPServer(ctx context.Context, h http.Handler, log *slog.Logger) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // where many requests share one connection, as through ssh
	return &http.Server{
		Handler:           timeBodies(h),
		Protocols:         &protocols,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    256 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       ConnContext,
	}
}

// byMethod answers with the endpoint of the request's method; "" takes any.
func (s *Server) byMethod(m map[string]endpoint) http.Handler {
	allowed := make([]string, 0, len(m))
	for method := range m {
		allowed = append(allowed, method)
	}
	slices.Sort(allowed)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, ok := m[r.Method]
		if !ok {
			e, ok = m[""]
		}
		if !ok {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			refuse(w, r, api.Refuse(api.CodeMethod, "use "+strings.Join(allowed, " or "), "%s does not take %s", r.URL.Path,
				r.Method))
			return
		}
		s.guard(e, w, r)
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","message":"the reply could not be encoded","hint":"this is a fault of the daemon"}}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

func writeError(w http.ResponseWriter, e *api.Error) {
	writeJSON(w, statusOf[e.Code], map[string]*api.Error{"error": e})
}

// readJSON reads a request's body into v, strictly.
func readJSON(w http.ResponseWriter, r *http.Request, v any) *api.Error {
	return readBody(w, r, v, true)
}

// readBody reads a request's JSON body into v. If it is strict it refuses fields that v doesn't have.
func readBody(w http.ResponseWriter, r *http.Request, v any, strict bool) *api.Error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return api.Refuse(api.CodeContentType, "send JSON with Content-Type: application/json",
			"the request's Content-Type is %q", r.Header.Get("Content-Type"))
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	if strict {
		dec.DisallowUnknownFields()
	}
	err := dec.Decode(v)
	if err == nil {
		if _, err = dec.Token(); err == io.EOF {
			return nil
		}
		err = cmp.Or(err, errors.New("there is more after the JSON value"))
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		// A client that is still sending would not read the answer.
		_, _ = io.CopyN(io.Discard, r.Body, maxBody)
		return api.Refuse(api.CodeTooLarge, "send it in several requests", "the request is larger than %d MiB", maxBody>>20)
	}
	return api.Refuse(api.CodeInvalid, "send what the API describes", "the request can't be read: %v", err)
}

// readRequest is a request that reads the cluster's state: with a snapshot,
// and the lease it was read under.
type readRequest struct {
	*http.Request
	lease *view.Lease
	snap  *cluster.Snapshot
	store api.Store
}

// read returns what was asked for at the revision asked for. Where the store is lost it
// has the last known state. The caller releases the lease.
func (s *Server) read(r *http.Request) (readRequest, *api.Error) {
	var revision int64
	if q := r.URL.Query().Get("revision"); q != "" {
		var err error
		if revision, err = strconv.ParseInt(q, 10, 64); err != nil || revision < 0 {
			return readRequest{}, api.Refuse(api.CodeInvalid, "take it from a reply to an earlier request",
				"revision %q is not a number", q)
		}
	}
	lease := s.cfg.View.Hold()
	snap, st, e := s.reach(r.Context(), lease, revision)
	if e != nil {
		lease.Release()
		return readRequest{}, e
	}
	return readRequest{Request: r, lease: lease, snap: snap, store: st}, nil
}

// reach returns a snapshot at a revision. Where the store is lost it returns
// the last known one within a second, and where it was never seen an error.
func (s *Server) reach(ctx context.Context, lease *view.Lease, revision int64) (
	*cluster.Snapshot, api.Store, *api.Error) {
	snap, asOf, err := lease.Reach(ctx, revision)
	if err != nil {
		return nil, api.Store{}, asError(err)
	}
	return snap, api.Store{Connected: asOf.IsZero(), Since: asOf}, nil
}

// reading makes a handler of a function that answers from a snapshot: it is
// read, the view is held until the answer is made, and what comes of it is written.
func (s *Server) reading(answer func(readRequest) (any, *api.Error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		l, e := s.read(r)
		if e != nil {
			writeError(w, e)
			return
		}
		defer l.lease.Release()
		out, e := answer(l)
		if e != nil {
			writeError(w, e)
			return
		}
		writeJSON(w, http.StatusOK, out)
	}
}

func (s *Server) version(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, api.Version{Version: s.cfg.Version, Go: runtime.Version(), MachineID: s.cfg.Self})
}

// healthz is 200 while the store answers, and 503 while it doesn't.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	if _, live, _, _ := s.cfg.View.LastKnown(); !live {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if _, err := s.cfg.Store.Events(ctx, time.Now(), 1); err != nil {
			writeError(w, asError(err))
			return
		}
	}
	writeJSON(w, http.StatusOK, map[string]bool{"ok": true})
}

func (s *Server) leave(w http.ResponseWriter, r *http.Request) {
	by := actor(r)
	var req api.LeaveRequest
	if r.ContentLength != 0 {
		if e := readJSON(w, r, &req); e != nil {
			writeError(w, e)
			return
		}
	}
	if e := refuseParallel(req.Parallel); e != nil {
		writeError(w, e)
		return
	}
	s.cfg.Log.Info("asked to leave the cluster for good", "by", by)
	s.answerLong(w, r, func(report func(api.Progress)) (any, int, *api.Error) {
		moved, err := s.cfg.Leave(r.Context(), by, req, report)
		if err != nil {
			return nil, 0, asError(err)
		}
		return moved, http.StatusOK, nil
	})
}
