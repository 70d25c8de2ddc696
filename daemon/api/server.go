package api

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
	"slices"
	"strconv"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/daemon/view"
)

const (
	maxBody = 32 << 20
	// readPatience is how long a read waits for a store that was never
	// seen, stalePatience for one that was lost, before it makes do.
	readPatience  = 5 * time.Second
	stalePatience = 200 * time.Millisecond
)

// Health is the daemon's verdict on the machines it knows, by ID, and a
// channel closed at the next change.
type Health interface {
	Health() map[string]cluster.Health
	Changed() <-chan struct{}
}

// Config is what a Server serves from.
type Config struct {
	Store   cluster.Store
	View    *view.View
	Health  Health
	Planner *schedule.Planner // its own, not the engine's
	Self    string            // ID of the machine this daemon runs on
	Version string
	// Leave makes this machine leave the cluster for good; the daemon ends
	// soon after it returned nil. It must not wait for running requests.
	Leave func(context.Context) error
	Keys  KeyKeeper // nil where there is no key
	// Logs and Stats serve the logs and the figures; nil for none.
	Logs  Logs
	Stats StatsKeeper
	Log   *slog.Logger
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
	facts     *factBook
	whatIf    whatIfs
	metrics   *metrics
}

// NewServer returns a Server.
func NewServer(cfg Config) *Server {
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, 5*time.Second)
	cfg.SlowReader = cmp.Or(cfg.SlowReader, 10*time.Second)
	s := &Server{cfg: cfg, mux: http.NewServeMux(), facts: newFactBook()}
	s.metrics = newMetrics(s)
	type methods = map[string]endpoint // what one path takes, and from whom
	s.endpoints = map[string]methods{
		"/v1/watch":                {"GET": {toLook, s.watch}},
		"/v1/state":                {"GET": {toLook, s.reading(s.state)}},
		"/v1/units":                {"GET": {toLook, s.reading(s.listUnits)}, "POST": {toAct, s.submitUnits}},
		"/v1/units/{name}":         {"GET": {toLook, s.reading(s.getUnit)}},
		"/v1/units/{name}/explain": {"GET": {toLook, s.reading(s.explainUnit)}},
		"/v1/actions":              {"POST": {toAct, s.act}},
		"/v1/machines":             {"GET": {toLook, s.reading(s.listMachines)}},
		"/v1/machines/{id}":        {"DELETE": {toAct, s.forgetMachine}},
		"/v1/machines/{id}/{verb}": {"POST": {toAct, s.scheduleMachine}},
		"/v1/leave":                {"POST": {toAct, s.leave}},
		"/v1/events":               {"GET": {toLook, s.events}},
		"/v1/units/{name}/journal": {"GET": {toLook, s.journal}},
		"/v1/journal":              {"GET": {toLook, s.journal}},
		"/v1/stats":                {"GET": {toLook, s.stats}},
		"/v1/keys":                 {"GET": {toLook, s.listKeys()}},
		"/v1/keys/rotate":          {"POST": {toAct, s.rotateKey()}},
		"/v1/keys/finish":          {"POST": {toAct, s.finishRotation()}},
		"/v1/join-token":           {"POST": {toAct, s.joinToken()}},
		"/v1/version":              {"GET": {toLook, s.version}},
		"/healthz":                 {"GET": {toLook, s.healthz}},
		"/metrics":                 {"GET": {toLook, s.metrics.serve}},
		"/": {"": {toAnybody, func(w http.ResponseWriter, r *http.Request) {
			writeError(w, refuse(CodeNotFound, "the API's paths begin with /v1, /healthz and /metrics", "there is nothing at %s", r.URL.Path))
		}}},
	}
	for path, m := range s.endpoints {
		s.mux.Handle(path, s.byMethod(m))
	}
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mux.ServeHTTP(s.metrics.count(w), r)
}

// HTTPServer returns an http.Server for the handler, with limits fit for it.
// Its streams end when ctx does; then Shutdown returns soon.
func HTTPServer(ctx context.Context, h http.Handler, log *slog.Logger) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // where many requests share one connection, as through ssh
	return &http.Server{
		Handler:           h,
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
			writeError(w, refuse(CodeMethod, "use "+strings.Join(allowed, " or "), "%s does not take %s", r.URL.Path, r.Method))
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

func writeError(w http.ResponseWriter, e *Error) {
	writeJSON(w, statusOf[e.Code], map[string]*Error{"error": e})
}

// readJSON reads a request's body into v, strictly.
func readJSON(w http.ResponseWriter, r *http.Request, v any) *Error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return refuse(CodeContentType, "send JSON with Content-Type: application/json", "the request's Content-Type is %q", r.Header.Get("Content-Type"))
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
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
		return refuse(CodeTooLarge, "send it in several requests", "the request is larger than %d MiB", maxBody>>20)
	}
	return refuse(CodeInvalid, "send what the API describes", "the request can't be read: %v", err)
}

// read holds the view and returns a snapshot at the revision asked for. Where
// the store is lost it returns the last known state. The caller calls release.
func (s *Server) read(r *http.Request) (snap *cluster.Snapshot, st Store, release func(), e *Error) {
	var revision int64
	if q := r.URL.Query().Get("revision"); q != "" {
		var err error
		if revision, err = strconv.ParseInt(q, 10, 64); err != nil || revision < 0 {
			return nil, Store{}, nil, refuse(CodeInvalid, "take it from a reply to an earlier request", "revision %q is not a number", q)
		}
	}
	release = s.cfg.View.Hold()
	patience := readPatience
	if last, live, _, _ := s.cfg.View.Latest(); last != nil && !live {
		patience = stalePatience
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	snap, err := s.cfg.View.Snapshot(ctx, revision)
	if err == nil {
		return snap, Store{Connected: true}, release, nil
	}
	last, live, seen, _ := s.cfg.View.Latest()
	switch {
	case last == nil:
		e = asError(err)
	case live:
		e = refuse(CodeUnavailable, "try again", "this daemon is at revision %d and has not seen %d yet", last.Revision, revision)
	default:
		return last, Store{Since: seen}, release, nil
	}
	release()
	return nil, Store{}, nil, e
}

// look is what a request that reads the cluster's state goes by.
type look struct {
	*http.Request
	snap  *cluster.Snapshot
	store Store
}

// reading makes a handler of a function that answers from a snapshot: it is
// read, the view is held meanwhile, and what comes of it is written.
func (s *Server) reading(answer func(look) (any, *Error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		snap, st, release, e := s.read(r)
		if e != nil {
			writeError(w, e)
			return
		}
		defer release()
		out, e := answer(look{r, snap, st})
		if e != nil {
			writeError(w, e)
			return
		}
		if t, ok := out.(*UnitTable); ok {
			writeTable(w, t)
			return
		}
		writeJSON(w, http.StatusOK, out)
	}
}

func (s *Server) version(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, Version{Version: s.cfg.Version, Go: runtime.Version(), MachineID: s.cfg.Self})
}

// healthz is 200 while the store answers, and 503 while it doesn't.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	if _, live, _, _ := s.cfg.View.Latest(); !live {
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
	s.cfg.Log.Info("asked to leave the cluster for good", "by", actor(r))
	if err := s.cfg.Leave(r.Context()); err != nil {
		writeError(w, asError(err))
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"machine": s.cfg.Self})
}
