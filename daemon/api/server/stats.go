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
}

func (s *Server) stats(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Stats == nil {
		writeError(w, api.Refuse(api.CodeNotFound, "ask another machine", "this daemon keeps no figures"))
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
