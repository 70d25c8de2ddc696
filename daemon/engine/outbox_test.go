package engine

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
)

// TestLastWordsAreRecorded: what is queued when a term ends is still recorded,
// all of it, whichever of the two its goroutine notices first.
func TestLastWordsAreRecorded(t *testing.T) {
	for range 50 {
		store := memstore.New().Open()
		ctx, cancel := context.WithCancel(t.Context())
		o := newOutbox(ctx, Config{Store: store, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
		var events []cluster.Event
		for k := range mostRecorded + 1 {
			events = append(events, cluster.Event{Time: time.Now(), Kind: cluster.EventMoved, Text: fmt.Sprint("move ", k)})
		}
		o.record(events)
		cancel()
		o.wait()
		kept, err := store.Events(t.Context(), time.Time{}, 2*mostRecorded)
		if err != nil {
			t.Fatal(err)
		}
		if len(kept) != len(events) {
			t.Fatalf("%d of %d events are in the timeline", len(kept), len(events))
		}
	}
}
