package server

import (
	"context"
	"net/http"

	"fleettop/daemon/api"
)

// KeyKeeper looks after the cluster's key. Its errors are *api.Error, or what a
// store returns.
type KeyKeeper interface {
	// Keys tells which keys there are, and how far a rotation has come.
	Keys(ctx context.Context) (*api.KeyList, error)
	// Rotate begins a rotation.
	Rotate(ctx context.Context, by string) (*api.KeyList, error)
	// FinishRotation drops the old key without waiting for machines that are off.
	FinishRotation(ctx context.Context, by string) (*api.KeyList, error)
	// JoinToken makes a token by which one machine can join.
	JoinToken(ctx context.Context, by string) (*api.JoinToken, error)
}

// keys answers with what do returns.
func (s *Server) keys(do func(k KeyKeeper, r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.cfg.Keys == nil {
			writeError(w, api.Refuse(api.CodeConflict, "stop it, run `fleettop key generate`, and start it again", "this daemon runs without a key, on loopback only"))
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
