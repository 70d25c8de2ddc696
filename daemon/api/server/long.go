package server

import (
	"net/http"
	"strings"
	"time"

	"fleettop/daemon/api"
)

// Acts that may take long, such as leaving or destroying thousands of units,
// have no time limit. A client that accepts lines of JSON gets a LongLine for
// each Progress, empty lines as heartbeats, and the outcome in the last line;
// any other client gets one answer in the end.

const (
	// progressEvery is the least time between two lines of progress, longBeat
	// that between heartbeats: clients may be short of patience.
	progressEvery = 100 * time.Millisecond
	longBeat      = 500 * time.Millisecond
)

// answerLong carries out an act and answers with its outcome, and with its
// progress where the client asks for that. do returns the reply and its status.
func (s *Server) answerLong(w http.ResponseWriter, r *http.Request,
	do func(report func(api.Progress)) (any, int, *api.Error)) {
	if !strings.Contains(r.Header.Get("Accept"), api.LinesType) {
		reply, status, e := do(func(api.Progress) {})
		writeReply(w, reply, status, e)
		return
	}
	out := newBeatingStream(w, r, min(longBeat, s.cfg.Heartbeat))
	defer out.close()
	var last time.Time
	reply, status, e := do(func(p api.Progress) {
		if now := time.Now(); now.Sub(last) >= progressEvery {
			last = now
			_ = out.writeJSON(api.LongLine{Progress: &p}) // a client that is gone ends the request
		}
	})
	out.close()
	// The outcome is worth telling also where what was done ends this daemon,
	// and with it the request.
	_ = out.s.ctl.SetWriteDeadline(time.Now().Add(s.cfg.SlowReader))
	if !out.opened {
		writeReply(w, reply, status, e)
		return
	}
	_ = out.writeJSON(api.LongLine{Reply: reply, Error: e}) // the client may be gone
}

func writeReply(w http.ResponseWriter, reply any, status int, e *api.Error) {
	if e != nil {
		writeError(w, e)
		return
	}
	writeJSON(w, status, reply)
}
