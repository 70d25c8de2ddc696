package client

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"fleettop/daemon/api"
	"fleettop/journal"
)

// batchMost and batchBytes are how many lines, and about how much text, JournalBatches hands over at once.
const (
	batchMost  = 256
	batchBytes = 1 << 20
)

// Journal calls f for each line of units' logs, oldest first, until its end
// or, when following, until f or the connection fails or ctx ends; it returns
// that error. The log follows the units when they move.
func (c *Client) Journal(ctx context.Context, o api.JournalOptions, f func(journal.Entry) error) error {
	return c.JournalBatches(ctx, o, func(list []journal.Entry) error {
		for _, l := range list {
			if err := f(l); err != nil {
				return err
			}
		}
		return nil
	})
}

// JournalBatches is Journal with all lines that have arrived at once.
func (c *Client) JournalBatches(ctx context.Context, o api.JournalOptions, f func([]journal.Entry) error) error {
	path, q := "/v1/journal", o.Query()
	if names := o.Names(); len(names) == 1 {
		path = "/v1/units/" + escape(names[0]) + "/journal"
	} else {
		q["unit"] = names
	}
	resp, err := c.do(ctx, http.MethodGet, path, q, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return c.refused(ctx, resp)
	}
	in := bufio.NewReaderSize(resp.Body, 256<<10)
	var list []journal.Entry
	size := 0
	hand := func() error {
		if len(list) == 0 {
			return nil
		}
		err := f(list)
		list, size = make([]journal.Entry, 0, cap(list)), 0
		return err
	}
	for {
		l, ended, err := c.nextEntry(ctx, in)
		if ended || err != nil {
			return cmp.Or(hand(), err) // what came before the end counts
		}
		if l.Kind != logBeat {
			list = append(list, l)
			size += l.Size()
		}
		waiting, _ := in.Peek(in.Buffered())
		if len(list) >= batchMost || size >= batchBytes || bytes.IndexByte(waiting, '\n') < 0 {
			if err := hand(); err != nil {
				return err
			}
		}
	}
}

// logBeat is the kind nextEntry gives to a heartbeat.
const logBeat journal.Kind = "beat"

// nextEntry reads a line of a log; ended reports whether the daemon has told all.
func (c *Client) nextEntry(ctx context.Context, in *bufio.Reader) (l journal.Entry, ended bool, err error) {
	raw, err := readLine(in)
	switch {
	case errors.Is(err, io.EOF):
		return l, false, c.explain(ctx, errors.New("the daemon ended the stream"))
	case err != nil:
		return l, false, c.explain(ctx, err)
	case len(raw) == 0:
		return journal.Entry{Kind: logBeat}, false, nil
	}
	l, err = journal.ParseJSON(raw)
	if err != nil {
		return l, false, fmt.Errorf("the log from %s can't be read: %w: is it a fleettop of another version?", c.endpoint,
			err)
	}
	if l.Kind == journal.KindError {
		return l, false, api.Refuse(api.CodeInternal, "", "%s", l.Text)
	}
	return l, l.Kind == journal.KindEnd, nil
}

// readLine returns a line without its end. It is good until the next call.
func readLine(in *bufio.Reader) ([]byte, error) {
	raw, err := in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		whole := bytes.Clone(raw)
		for errors.Is(err, bufio.ErrBufferFull) && len(whole) < maxLine {
			raw, err = in.ReadSlice('\n')
			whole = append(whole, raw...)
		}
		raw = whole
	}
	if err != nil {
		return nil, err
	}
	return raw[:len(raw)-1], nil
}
