package logs

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"fleettop/daemon/api"
	"fleettop/journal"
)

// TestBulkGoesOnInPieces: lines of old come at once, when all machines have
// told theirs, and still go on in pieces that a viewer takes in quickly.
func TestBulkGoesOnInPieces(t *testing.T) {
	f := newFleet(t, "m1", "m2")
	f.place("a.service", "", "m1")
	const lines = 5000
	for i := range lines {
		f.at["m1"].log.log("a.service", fmt.Sprint("line ", i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got, most := 0, 0
	err := f.at["m2"].service.Journal(ctx, api.JournalOptions{Units: []string{"a.service"}, Lines: lines},
		func(list []journal.Entry) error {
			got, most = got+len(list), max(most, len(list))
			return nil
		})
	if err != nil || got < lines {
		t.Fatalf("%d lines, %v", got, err)
	}
	if most > batchMost {
		t.Errorf("%d lines came in one piece, want %d at most", most, batchMost)
	}
}

func TestPieces(t *testing.T) {
	big := strings.Repeat("x", batchBytes/2)
	for _, lines := range [][]journal.Entry{nil, make([]journal.Entry, 1), make([]journal.Entry, batchMost),
		make([]journal.Entry, batchMost+1),
		{{Message: big}, {Message: big}, {Message: big}}, {{Message: big + big + big}, {}, {}}} {
		var all []journal.Entry
		for piece := range pieces(lines) {
			size := 0
			for i := range piece[:len(piece)-1] {
				size += piece[i].Size()
			}
			if len(piece) > batchMost || size >= batchBytes {
				t.Errorf("a piece has %d lines and more than %d bytes", len(piece), size)
			}
			all = append(all, piece...)
		}
		if len(all) != len(lines) {
			t.Errorf("%d lines of %d", len(all), len(lines))
		}
	}
}

// slowTail takes its time to open, until it is let.
type slowTail struct {
	journal.Source
	opening, let chan struct{}
}

func (s *slowTail) Tail() (journal.Tail, error) {
	close(s.opening)
	<-s.let
	return s.Source.Tail()
}

// TestOpeningTheTailHoldsNoLock: a viewer that leaves need not wait until
// another's tail has read all files of the journal.
func TestOpeningTheTailHoldsNoLock(t *testing.T) {
	src := &slowTail{Source: &memLog{}, opening: make(chan struct{}), let: make(chan struct{})}
	h := &broadcaster{src: src}
	joined := make(chan func())
	go func() {
		_, _, leave, err := h.join([]string{"a.service"}, false)
		if err != nil {
			t.Error(err)
		}
		joined <- leave
	}()
	<-src.opening
	free := make(chan struct{})
	go func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		close(free)
	}()
	select {
	case <-free:
	case <-time.After(20 * time.Second):
		t.Error("the broadcaster is locked while the tail is being opened")
	}
	close(src.let)
	(<-joined)()
	if h.tailer != nil {
		t.Error("the tail is still open")
	}
}
