package server

import (
	"net/http"

	"fleettop/daemon/api"
)

// testNotify sends a test to the receivers of notices of this daemon.
func (s *Server) testNotify(w http.ResponseWriter, r *http.Request) {
	if s.cfg.SendTest == nil {
		refuse(w, r, api.Refuse(api.CodeConflict, "give --notify=URL or --notify-command=COMMAND to the daemons "+
			"(FLEETTOP_OPTIONS in /etc/fleettop/fleettop.env) and restart them", "this daemon has no receivers of notices"))
		return
	}
	writeJSON(w, http.StatusOK, s.cfg.SendTest(r.Context(), actor(r)))
}
