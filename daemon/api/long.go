package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Acts that may take long, such as leaving or destroying thousands of units,
// have no time limit. A client that accepts lines of JSON gets a longLine for
// each Progress, empty lines as heartbeats, and the outcome in the last line;
// any other client gets one answer in the end.

// linesType is the media type of a stream of lines.
const linesType = "application/x-ndjson"

const (
	// progressEvery is the least time between two lines of progress, longBeat
	// that between heartbeats: clients may be short of patience.
	progressEvery = 100 * time.Millisecond
	longBeat      = 500 * time.Millisecond
)

// Progress is how far an act has come.
type Progress struct {
	Done  int    `json:"done"`
	Total int    `json:"total"`
	Text  string `json:"text,omitempty"` // what it waits for, for people
}

// longLine is a line of the answer to a long act. The last one has a reply or an error.
type longLine struct {
	Progress *Progress `json:"progress,omitempty"`
	Reply    any       `json:"reply,omitempty"`
	Error    *Error    `json:"error,omitempty"`
}

// answerLong carries out an act and answers with its outcome, and with its
// progress where the client asks for that. do returns the reply and its status.
func (s *Server) answerLong(w http.ResponseWriter, r *http.Request, do func(report func(Progress)) (any, int, *Error)) {
	if !strings.Contains(r.Header.Get("Accept"), linesType) {
		reply, status, e := do(func(Progress) {})
		writeReply(w, reply, status, e)
		return
	}
	out := newBeatingStream(w, r, min(longBeat, s.cfg.Heartbeat))
	defer out.close()
	var last time.Time
	reply, status, e := do(func(p Progress) {
		if now := time.Now(); now.Sub(last) >= progressEvery {
			last = now
			_ = out.writeJSON(longLine{Progress: &p}) // a client that is gone ends the request
		}
	})
	out.close()
	// The outcome is worth telling also where what was done ends this daemon,
	// and with it the request.
	_ = out.s.ctl.SetWriteDeadline(time.Now().Add(s.cfg.SlowReader))
	if !out.opened {
		writeReply(w, reply, status, e)
		return
	}
	_ = out.writeJSON(longLine{Reply: reply, Error: e}) // the client may be gone
}

func writeReply(w http.ResponseWriter, reply any, status int, e *Error) {
	if e != nil {
		writeError(w, e)
		return
	}
	writeJSON(w, status, reply)
}

// FollowLong lets acts of this client that may take long take as long as they
// need: they end when the daemon says nothing for silence, and report is
// called with their progress, and with nil when one has ended. Call it before
// the first act.
func (c *Client) FollowLong(silence time.Duration, report func(*Progress)) {
	c.silence, c.report = silence, report
}

// errSilent is why a long act was given up.
var errSilent = errors.New("the daemon fell silent")

// long sends the request of a long act and reads its outcome into out.
func (c *Client) long(ctx context.Context, path string, body, out any) error {
	if c.silence <= 0 {
		return c.call(ctx, http.MethodPost, path, nil, body, out)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(c.silence, func() { cancel(errSilent) })
	defer silent.Stop()
	defer c.report(nil)
	resp, err := c.send(ctx, http.MethodPost, path, url.Values{}, body, linesType)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if t := resp.Header.Get("Content-Type"); !strings.HasPrefix(t, linesType) {
		raw, err := readAll(resp)
		if err != nil {
			return c.explain(ctx, err)
		}
		return c.decode(resp, raw, out)
	}
	in := bufio.NewScanner(resp.Body)
	in.Buffer(make([]byte, 64<<10), maxLine)
	for in.Scan() {
		silent.Reset(c.silence)
		line := bytes.TrimSpace(in.Bytes())
		if len(line) == 0 {
			continue
		}
		var reply json.RawMessage
		l := longLine{Reply: &reply}
		if err := json.Unmarshal(line, &l); err != nil {
			return fmt.Errorf("the answer of %s can't be read: %w: is it a fleettop of another version?", c.endpoint, err)
		}
		switch {
		case l.Error != nil:
			return l.Error
		case l.Progress != nil:
			c.report(l.Progress)
		default:
			return c.decode(resp, reply, out)
		}
	}
	err = in.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return c.explain(ctx, err)
}
