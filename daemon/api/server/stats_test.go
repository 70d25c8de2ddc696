package server_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"net/http"
	"net/http/httptest"

	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/daemon/api/server"
)

// manyFigures are those of many machines, each every two seconds.
type manyFigures struct {
	server.StatsKeeper
	machines int
}

func (f manyFigures) Stats(ctx context.Context, _, _ bool, emit func(api.Stats) error) error {
	tick := time.NewTicker(2 * time.Second / time.Duration(f.machines))
	defer tick.Stop()
	for n := 0; ; n++ {
		if err := emit(api.Stats{Machine: apitest.Machine(n%f.machines + 1).ID}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// flushes counts how often a response is sent on.
type flushes struct {
	*httptest.ResponseRecorder
	lines, sent atomic.Int64
}

func (w *flushes) Write(p []byte) (int, error) {
	w.lines.Add(1)
	return len(p), nil
}
func (w *flushes) Flush() { w.sent.Add(1) }

// TestFiguresOfManyMachinesComeTogether, and no more of them than a console can use: of three
// machines each every two seconds, of a thousand each every twenty.
func TestFiguresOfManyMachinesComeTogether(t *testing.T) {
	for _, c := range []struct{ machines, least, most int }{{3, 60, 62}, {100, 1900, 2001}, {1000, 2000, 3100}} {
		synctest.Test(t, func(t *testing.T) {
			s := server.New(server.Config{Stats: manyFigures{machines: c.machines}})
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			defer cancel()
			w := &flushes{ResponseRecorder: httptest.NewRecorder()}
			server.AsRole(api.Viewer, s).ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/stats?follow=true", nil))
			if lines := int(w.lines.Load()); lines < c.least || lines > c.most {
				t.Errorf("of %d machines it tells %d times in 40 s, want %d to %d", c.machines, lines, c.least, c.most)
			}
			if sent := w.sent.Load(); sent > 41 {
				t.Errorf("of %d machines it sends %d times in 40 s, want once a second at most", c.machines, sent)
			}
		})
	}
}
