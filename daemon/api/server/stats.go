package server

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"fleettop/daemon/api"
)

// StatsKeeper tells what machines use.
type StatsKeeper interface {
	// Stats calls emit with a line for each live machine, or for this one
	// alone; with follow again and again until ctx ends or emit fails.
	// emit is not called concurrently.
	Stats(ctx context.Context, local, follow bool, emit func(api.Stats) error) error
	// History returns what machines used during the last hour, or what a unit did on them where one is
	// named: of all live machines, or of some, or with local of this one alone.
	History(ctx context.Context, unit string, machines []string, local bool) []api.StatsHistory
	// Processes returns the processes of a unit, on the same machines.
	Processes(ctx context.Context, unit string, machines []string, local bool) []api.UnitProcesses
}

// noFigures is the refusal of a daemon without figures.
func noFigures() *api.Error {
	return api.Refuse(api.CodeNotFound, "ask another machine", "this daemon keeps no figures")
}

func (s *Server) statsHistory(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Stats == nil {
		writeError(w, noFigures())
		return
	}
	q := r.URL.Query()
	list := s.cfg.Stats.History(r.Context(), q.Get("unit"), q["machine"], q.Get("local") == "true")
	writeJSON(w, http.StatusOK, api.HistoryList{Series: append([]api.StatsHistory{}, list...)})
}

func (s *Server) unitProcesses(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Stats == nil {
		writeError(w, noFigures())
		return
	}
	q := r.URL.Query()
	list := s.cfg.Stats.Processes(r.Context(), r.PathValue("name"), q["machine"], q.Get("local") == "true")
	writeJSON(w, http.StatusOK, api.ProcessList{Machines: append([]api.UnitProcesses{}, list...)})
}

func (s *Server) stats(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Stats == nil {
		writeError(w, noFigures())
		return
	}
	q := r.URL.Query()
	follow := q.Get("follow") == "true"
	out := &figuresStream{out: newStream(w, s.cfg.SlowReader), follow: follow, told: map[string]time.Time{}}
	err := s.cfg.Stats.Stats(r.Context(), q.Get("local") == "true", follow, out.emit)
	if begun := out.close(); err != nil && !begun {
		writeError(w, asError(err))
	}
}

const (
	// figuresQuiet is the least time between two writes of figures: those of a thousand machines
	// would wake their reader hundreds of times a second.
	figuresQuiet = time.Second
	// figuresShare is the part of a follower's time that each machine has: of so many machines that
	// their shares exceed the time between two figures, each is told about less often.
	figuresShare = 20 * time.Millisecond
	figuresSlack = 500 * time.Millisecond // figures don't come evenly
)

// figuresStream writes figures to a follower, not more often than it can use them.
type figuresStream struct {
	out    *stream
	follow bool

	mu      sync.Mutex // guards what follows, and out
	told    map[string]time.Time
	written time.Time
	late    *time.Timer // flushes what was written meanwhile; nil for none under way
	begun   bool
	closed  bool
	err     error
}

// emit takes the figures of one machine.
func (f *figuresStream) emit(st api.Stats) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if last, ok := f.told[st.Machine]; f.err != nil || f.follow && ok &&
		now.Sub(last) < time.Duration(len(f.told))*figuresShare-figuresSlack {
		return f.err
	}
	f.told[st.Machine] = now
	line, err := json.Marshal(st)
	if err != nil {
		return err
	}
	f.begun = true
	if f.err = f.out.write(line); f.err != nil || f.late != nil {
		return f.err
	}
	if wait := f.written.Add(figuresQuiet).Sub(now); wait > 0 {
		f.late = time.AfterFunc(wait, f.flush)
		return nil
	}
	f.written = now
	f.err = f.out.flush()
	return f.err
}

// flush sends what was written since the last time.
func (f *figuresStream) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.late, f.written = nil, time.Now()
	if err := f.out.flush(); f.err == nil {
		f.err = err
	}
}

// close ends the use of the response, and reports whether anything was written.
func (f *figuresStream) close() (begun bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.late != nil {
		f.late.Stop()
	}
	return f.begun
}
