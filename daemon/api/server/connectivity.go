package server

import (
	"context"
	"net/http"

	"fleettop/daemon/api"
)

// ConnectivityKeeper tells which machine reaches which.
type ConnectivityKeeper interface {
	// Connectivity asks all machines, and returns within about a second.
	Connectivity(ctx context.Context) api.Connectivity
	// Local returns what this machine sees of some machines, sooner.
	Local(ctx context.Context, machines []string) api.Connections
}

// connectivity answers for all machines, or, where another daemon asks, for this one.
func (s *Server) connectivity(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Connectivity == nil {
		writeError(w, api.Refuse(api.CodeNotFound, "ask another machine", "this daemon doesn't look at the other machines"))
		return
	}
	q := r.URL.Query()
	if q.Get("local") != "true" {
		writeJSON(w, http.StatusOK, s.cfg.Connectivity.Connectivity(r.Context()))
		return
	}
	ids := q["machine"]
	if len(ids) > api.ConnectionsMost {
		writeError(w, api.Refuse(api.CodeInvalid, "ask for fewer", "%d machines are named, and %d is the most", len(ids),
			api.ConnectionsMost))
		return
	}
	writeJSON(w, http.StatusOK, s.cfg.Connectivity.Local(r.Context(), ids))
}
