// Package feed hands changes to a reader that may be slow: the writer never
// blocks, and what the reader has not taken yet is merged into one change.
package feed

import (
	"sync"

	"fleettop/cluster"
)

// Most is how many things a change waiting for its reader may hold before the
// reader is cut off: a fresh snapshot is cheaper by then.
const Most = 100_000

// Feed is one reader's queue. Call New.
type Feed struct {
	mu     sync.Mutex // guards sending on ch, and what follows
	ch     chan cluster.Change
	last   int64 // revision offered
	closed bool
}

// New returns an open feed.
func New() *Feed { return &Feed{ch: make(chan cluster.Change, 1)} }

// C is the reader's end. It is closed by Close, or when the reader is cut off.
func (f *Feed) C() <-chan cluster.Change { return f.ch }

// Offer queues a change, and merges it into the one still waiting if there is
// one. A change that comes late, from one of several sources, gets the latest
// revision, so that they never go back. Offer reports whether the feed is still open.
func (f *Feed) Offer(c cluster.Change) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.last = max(f.last, c.Revision)
	c.Revision = f.last
	select {
	case waiting := <-f.ch:
		if waiting.Size()+c.Size() > Most {
			f.close()
			return false
		}
		c = waiting.Then(c)
	default:
	}
	f.ch <- c // has room: this is the only sender, and it holds the lock
	return true
}

// Close ends the feed; a change that waits can still be read. It may be called again.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.close()
}

func (f *Feed) close() {
	if !f.closed {
		f.closed = true
		close(f.ch)
	}
}
