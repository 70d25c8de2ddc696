package trust

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
	"fleettop/daemon/keys"
)

const (
	joinPath     = "/join"
	joinBody     = 4 << 10         // bytes of a request
	joinFailures = 5               // wrong tokens of one address in a minute that are answered one by one and recorded
	joinSources  = 4096            // addresses that are remembered for a minute
	recordTime   = 5 * time.Second // for the timeline to take an event
)

// joinServer serves machines that have no key: they hand in a token for it, and
// can do nothing else.
type joinServer struct {
	*Service
	now func() time.Time

	mu       sync.Mutex     // guards what follows
	minute   time.Time      // when counting began
	failures map[string]int // by IP
}

// JoinServer serves machines that have no key.
func (s *Service) JoinServer() http.Handler { return &joinServer{Service: s, now: time.Now} }

// joinReply is the key and where the cluster is.
type joinReply struct {
	Ring   string   `json:"ring,omitempty"`
	Gossip []string `json:"gossip,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// ServeHTTP implements http.Handler.
func (j *joinServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Connection", "close")
	if r.Method != http.MethodPost || r.URL.Path != joinPath {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	source, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		source = r.RemoteAddr
	}
	reply, status := j.join(r, source)
	if status != http.StatusOK {
		j.credentials.RejectionLogger("join")(source, reply.Error)
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(reply)
}

// join checks a token and gives the key away. A token that is good is taken
// however many bad ones came from the same address: who guesses keeps no
// machine out.
func (j *joinServer) join(r *http.Request, source string) (joinReply, int) {
	now := j.now()
	var body struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, joinBody)).Decode(&body); err != nil {
		return j.fail(source, now, keys.ErrBadToken)
	}
	t, err := keys.ParseToken(body.Token)
	if err != nil {
		return j.fail(source, now, err)
	}
	ring := j.credentials.identity.Ring()
	if err := ring.Check(t, now); err != nil {
		return j.fail(source, now, err)
	}
	first, err := j.cfg.Keystore.use(r.Context(), t, now)
	if err != nil {
		j.log.Warn("a machine can't join now", "source", source, "error", err)
		reply := joinReply{Error: "the cluster's store can't be reached, so no machine can join: try again when it has " +
			"its quorum back"}
		if known := j.cfg.Etcd.Trouble(); known != nil {
			reply.Error = known.Error() + ": see the log of the daemon that was asked"
		}
		return reply, http.StatusServiceUnavailable
	}
	if !first {
		reply, status := j.fail(source, now, keys.ErrTokenUsed)
		if status != http.StatusTooManyRequests {
			j.record(r, source, "the token "+t.ID()+" was handed in a second time from "+source+" and refused")
		}
		return reply, status
	}
	j.record(r, source, "a new machine at "+source+" was given the cluster's key, by token "+t.ID())
	reply := joinReply{Ring: string(ring.Text())}
	for _, m := range j.cfg.Gossip.Members() {
		if m.State == membership.Alive {
			reply.Gossip = append(reply.Gossip, m.Address)
		}
	}
	return reply, http.StatusOK
}

func (j *joinServer) record(r *http.Request, source, text string) {
	j.log.Info("join: " + text)
	ev := cluster.Event{Kind: cluster.EventKey, Machine: j.cfg.Machine, Time: j.now(), By: source, Text: text}
	ctx, cancel := context.WithTimeout(r.Context(), recordTime)
	defer cancel()
	if err := j.cfg.Timeline.Record(ctx, ev); err != nil {
		j.log.Warn("a join is not in the timeline", "error", err)
	}
}

// fail counts a refusal, and words it.
func (j *joinServer) fail(source string, now time.Time, err error) (joinReply, int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if since := now.Sub(j.minute); since < 0 || since >= time.Minute || len(j.failures) >= joinSources {
		j.minute, j.failures = now, map[string]int{}
	}
	j.failures[source]++
	switch {
	case j.failures[source] > joinFailures:
		return joinReply{Error: "too many wrong tokens came from this address: " +
			"wait a minute, or print a new line with `fleettop join-command`"}, http.StatusTooManyRequests
	case errors.Is(err, keys.ErrTokenUsed):
		return joinReply{Error: err.Error()}, http.StatusConflict
	}
	return joinReply{Error: err.Error()}, http.StatusForbidden
}
