package api

import (
	"net/http"
	"time"
)

// stream writes lines of JSON to a client.
type stream struct {
	w        http.ResponseWriter
	ctl      *http.ResponseController
	patience time.Duration // a reader that takes nothing for so long is cut off
}

func newStream(w http.ResponseWriter, patience time.Duration) *stream {
	w.Header().Set("Content-Type", "application/x-ndjson")
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
