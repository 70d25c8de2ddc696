package client

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

	"fleettop/cluster"
	"fleettop/daemon/api"
)

// maxLine bounds a line of a stream: a snapshot of a very large cluster.
const maxLine = 256 << 20

// Watch folds the daemon's state into a State and calls f after each line,
// until f or the connection fails, or ctx ends; it returns that error. The
// state belongs to Watch: f must not keep it, and is not called concurrently.
func (c *Client) Watch(ctx context.Context, opts api.WatchOptions, f func(*api.State, *api.Line) error) error {
	q := url.Values{}
	if len(opts.Units) > 0 {
		q["unit"] = opts.Units
	}
	if len(opts.Machines) > 0 {
		q["machine"] = opts.Machines
	}
	if opts.WhatIf {
		q.Set("whatif", "true")
	}
	if opts.Heartbeat > 0 {
		q.Set("heartbeat", opts.Heartbeat.String())
	}
	var state api.State
	first := true
	return c.lines(ctx, "/v1/watch", q, opts.Alive, func(raw []byte) error {
		var l api.Line
		if err := json.Unmarshal(raw, &l); err != nil {
			return fmt.Errorf("the watch of %s can't be read: %w: is it a fleettop of another version?", c.endpoint, err)
		}
		if first && l.Kind != api.LineSnapshot {
			return fmt.Errorf("the watch of %s begins with %q instead of a snapshot: is it a fleettop of another version?",
				c.endpoint, l.Kind)
		}
		first = false
		if opts.LinesOnly {
			return f(nil, &l)
		}
		state.Apply(&l)
		return f(&state, &l)
	})
}

// FollowEvents calls f for each of the newest limit events since a time or
// age, and then for each new one, until f or the connection fails, or ctx ends.
func (c *Client) FollowEvents(ctx context.Context, since string, limit int, f func(cluster.Event) error) error {
	return c.lines(ctx, "/v1/events", eventQuery(since, limit, true), nil, func(raw []byte) error {
		var ev cluster.Event
		if err := json.Unmarshal(raw, &ev); err != nil {
			return fmt.Errorf("an event of %s can't be read: %w: is it a fleettop of another version?", c.endpoint, err)
		}
		return f(ev)
	})
}

// refused reads why a stream was refused.
func (c *Client) refused(ctx context.Context, resp *http.Response) error {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return c.explain(ctx, err)
	}
	return refusal(resp.Status, raw)
}

// lines calls f for each line of a stream that isn't empty, and alive, unless
// it is nil, whenever anything has arrived.
func (c *Client) lines(ctx context.Context, path string, q url.Values, alive func(), f func([]byte) error) error {
	resp, err := c.do(ctx, http.MethodGet, path, q, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return c.refused(ctx, resp)
	}
	in := lineReader{in: bufio.NewReaderSize(notedReader{resp.Body, alive}, 64<<10)}
	for {
		line, err := in.next()
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if err := f(line); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return c.explain(ctx, errors.New("the daemon ended the stream"))
		case err != nil:
			return c.explain(ctx, err)
		}
	}
}

// lineReader reads lines, of which the first may be very long and the others are short: what a long
// one needs is not kept.
type lineReader struct {
	in   *bufio.Reader
	long []byte // the parts of a line that is longer than the reader's buffer
}

// next returns a line, with its end, which is valid until the next call. With an error it returns
// what came before that.
func (r *lineReader) next() ([]byte, error) {
	r.long = nil
	for {
		part, err := r.in.ReadSlice('\n')
		if err == nil && r.long == nil {
			return part, nil
		}
		if len(r.long)+len(part) > maxLine {
			return nil, bufio.ErrTooLong
		}
		r.long = append(r.long, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return r.long, err
		}
	}
}

// notedReader tells whenever something was read.
type notedReader struct {
	io.Reader
	note func()
}

// Read implements io.Reader.
func (r notedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 && r.note != nil {
		r.note()
	}
	return n, err
}
