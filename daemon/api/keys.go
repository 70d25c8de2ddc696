package api

import (
	"context"
	"net/http"
	"time"
)

// KeyKeeper looks after the cluster's key. Its errors are *Error, or what a
// store returns.
type KeyKeeper interface {
	// Keys tells which keys there are, and how far a rotation has come.
	Keys(ctx context.Context) (*KeyList, error)
	// Rotate begins a rotation.
	Rotate(ctx context.Context, by string) (*KeyList, error)
	// FinishRotation drops the old key without waiting for machines that are off.
	FinishRotation(ctx context.Context, by string) (*KeyList, error)
	// JoinToken makes a token by which one machine can join.
	JoinToken(ctx context.Context, by string) (*JoinToken, error)
}

// KeyInfo is one key of the cluster, by its ID.
type KeyInfo struct {
	ID      string `json:"id"`
	Primary bool   `json:"primary"` // it is the one in use
	Newest  bool   `json:"newest"`  // it came last
}

// KeyHolder is a machine and the keys it works with.
type KeyHolder struct {
	Machine string   `json:"machine"`
	Name    string   `json:"name"`
	Live    bool     `json:"live"`
	Keys    []string `json:"keys"` // IDs, the one in use first
}

// KeyList is what there is to know of the keys, without the keys.
type KeyList struct {
	Keys     []KeyInfo   `json:"keys"`
	Phase    string      `json:"phase,omitempty"`   // spreading, retiring, or empty
	Since    time.Time   `json:"since,omitzero"`    // when the rotation began
	Waiting  []string    `json:"waiting,omitempty"` // names of machines that don't work with just these keys
	Text     string      `json:"text,omitempty"`    // what was just done
	Machines []KeyHolder `json:"machines"`
}

// JoinToken lets one machine join. It is secret until used.
type JoinToken struct {
	Token     string    `json:"token"`
	Addresses []string  `json:"addresses"` // of the API of machines that take it
	Expires   time.Time `json:"expires"`
	User      bool      `json:"user,omitempty"` // the cluster's daemons are an ordinary user's
}

// keys answers with what do returns.
func (s *Server) keys(do func(k KeyKeeper, r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.cfg.Keys == nil {
			writeError(w, refuse(CodeConflict, "stop it, run `fleettop key generate`, and start it again", "this daemon runs without a key, on loopback only"))
			return
		}
		out, err := do(s.cfg.Keys, r)
		if err != nil {
			writeError(w, asError(err))
			return
		}
		writeJSON(w, http.StatusOK, out)
	}
}

func (s *Server) listKeys() http.HandlerFunc {
	return s.keys(func(k KeyKeeper, r *http.Request) (any, error) { return k.Keys(r.Context()) })
}

func (s *Server) rotateKey() http.HandlerFunc {
	return s.keys(func(k KeyKeeper, r *http.Request) (any, error) { return k.Rotate(r.Context(), actor(r)) })
}

func (s *Server) finishRotation() http.HandlerFunc {
	return s.keys(func(k KeyKeeper, r *http.Request) (any, error) { return k.FinishRotation(r.Context(), actor(r)) })
}

func (s *Server) joinToken() http.HandlerFunc {
	return s.keys(func(k KeyKeeper, r *http.Request) (any, error) { return k.JoinToken(r.Context(), actor(r)) })
}

// Keys tells which keys the cluster has.
func (c *Client) Keys(ctx context.Context) (*KeyList, error) {
	var list KeyList
	return &list, c.call(ctx, http.MethodGet, "/v1/keys", nil, nil, &list)
}

// RotateKey begins a rotation of the cluster's key.
func (c *Client) RotateKey(ctx context.Context) (*KeyList, error) {
	var list KeyList
	return &list, c.call(ctx, http.MethodPost, "/v1/keys/rotate", nil, nil, &list)
}

// FinishRotation drops the old key without waiting for machines that are off.
func (c *Client) FinishRotation(ctx context.Context) (*KeyList, error) {
	var list KeyList
	return &list, c.call(ctx, http.MethodPost, "/v1/keys/finish", nil, nil, &list)
}

// JoinToken makes a token by which one machine can join.
func (c *Client) JoinToken(ctx context.Context) (*JoinToken, error) {
	var t JoinToken
	return &t, c.call(ctx, http.MethodPost, "/v1/join-token", nil, nil, &t)
}
