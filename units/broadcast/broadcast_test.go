package broadcast

import (
	"sync"
	"testing"
)

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestSignal(t *testing.T) {
	var s Signal
	s.Notify() // no goroutine waits
	first, same := s.Changed(), s.Changed()
	if closed(first) || first != same {
		t.Fatal("a change that was before the channel is told")
	}
	s.Notify()
	if next := s.Changed(); !closed(first) || closed(next) {
		t.Error("a change closes the channels from before it, and no later one")
	}
}

// No change is missed by those that get the channel first and look after it.
func TestNoChangeIsMissed(t *testing.T) {
	const changes = 1000
	var s Signal
	var mu sync.Mutex
	n := 0
	var waiting sync.WaitGroup
	for range 4 {
		waiting.Go(func() {
			for {
				changed := s.Changed()
				mu.Lock()
				over := n == changes
				mu.Unlock()
				if over {
					return
				}
				<-changed
			}
		})
	}
	for range changes {
		mu.Lock()
		n++
		mu.Unlock()
		s.Notify()
	}
	waiting.Wait()
}
