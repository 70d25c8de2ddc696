// Package broadcast wakes all goroutines that wait for a change.
package broadcast

import "sync"

// A Signal says that something changed, to all that wait at that moment. Its
// zero value is ready. It may be used by many goroutines, and holds no other
// lock meanwhile.
type Signal struct {
	mu   sync.Mutex
	next chan struct{} // closed by the next Notify; nil if no caller has it
}

// Changed returns a channel that the next Notify closes. A caller that gets the
// channel first and reads what may change after it misses no change.
func (s *Signal) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = make(chan struct{})
	}
	return s.next
}

// Notify closes the channel that Changed returned since the last Notify.
func (s *Signal) Notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil {
		close(s.next)
		s.next = nil
	}
}
