package server

import (
	"context"
	"encoding/json"
	"net/http"

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
	out := newStream(w, s.cfg.SlowReader)
	begun := false
	err := s.cfg.Stats.Stats(r.Context(), q.Get("local") == "true", q.Get("follow") == "true", func(st api.Stats) error {
		begun = true
		line, err := json.Marshal(st)
		if err == nil {
			err = out.write(line)
		}
		if err == nil {
			err = out.flush()
		}
		return err
	})
	if err != nil && !begun {
		writeError(w, asError(err))
	}
}
