package server

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"fleettop/daemon/api"
)

// stream writes lines of JSON to a client.
type stream struct {
	w        http.ResponseWriter
	ctl      *http.ResponseController
	patience time.Duration // a reader that takes nothing for so long is cut off
}

func newStream(w http.ResponseWriter, patience time.Duration) *stream {
	w.Header().Set("Content-Type", api.LinesType)
	w.Header().Set("Cache-Control", "no-store")
	return &stream{w: w, ctl: http.NewResponseController(w), patience: patience}
}

// write queues a line. An error means that the client is gone or too slow.
func (s *stream) write(line []byte) error {
	// Writers that know no deadlines, such as a recorder in a test, go without.
	_ = s.ctl.SetWriteDeadline(time.Now().Add(s.patience))
	_, err := s.w.Write(append(line, '\n'))
	return err
}

func (s *stream) flush() error { return s.ctl.Flush() }

// beatingStream is a stream that says that it is alive, by empty lines, while
// nothing else is written. It never cuts off a reader that takes its time. Its
// methods but close are for one goroutine.
type beatingStream struct {
	s      *stream
	lock   chan struct{} // held while writing
	opened bool          // under lock until stopBeating: something was written, so that no status can be answered any more
	undo   func() bool
	stop   func()
}

// newBeatingStream begins to beat. Nothing is written before the first beat or
// write. The caller closes it.
func newBeatingStream(w http.ResponseWriter, r *http.Request, beat time.Duration) *beatingStream {
	out := &beatingStream{s: &stream{w: w, ctl: http.NewResponseController(w)}, lock: make(chan struct{}, 1)}
	// A write to a reader that sleeps ends with the request.
	out.undo = context.AfterFunc(r.Context(), func() { _ = out.s.ctl.SetWriteDeadline(time.Now()) })
	done, stopped := make(chan struct{}), make(chan struct{})
	out.stop = sync.OnceFunc(func() { close(done); <-stopped })
	go func() {
		defer close(stopped)
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			select {
			case out.lock <- struct{}{}:
				_ = out.put([]byte{'\n'}) // the next write meets the error
				<-out.lock
			default: // lines are being written
			}
		}
	}()
	return out
}

// stopBeating stops the beat; lines can still be written.
func (out *beatingStream) stopBeating() { out.stop() }

func (out *beatingStream) close() {
	out.stop()
	out.undo()
}

// write writes lines at once.
func (out *beatingStream) write(lines []byte) error {
	out.lock <- struct{}{}
	defer func() { <-out.lock }()
	return out.put(lines)
}

// writeJSON writes a value as a line.
func (out *beatingStream) writeJSON(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return out.write(append(line, '\n'))
}

// put writes and flushes; lock is held.
func (out *beatingStream) put(lines []byte) error {
	if !out.opened {
		out.opened = true
		out.s.w.Header().Set("Content-Type", api.LinesType)
		out.s.w.Header().Set("Cache-Control", "no-store")
		out.s.w.WriteHeader(http.StatusOK)
	}
	if _, err := out.s.w.Write(lines); err != nil {
		return err
	}
	return out.s.flush()
}
