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
	"strings"
	"time"

	"fleettop/daemon/api"
)

// FollowLong lets acts of this client that may take long take as long as they
// need: they end when the daemon says nothing for silence, and report is
// called with their progress, and with nil when one has ended. Call it before
// the first act.
func (c *Client) FollowLong(silence time.Duration, report func(*api.Progress)) {
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
	resp, err := c.send(ctx, http.MethodPost, path, url.Values{}, body, api.LinesType)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if t := resp.Header.Get("Content-Type"); !strings.HasPrefix(t, api.LinesType) {
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
		l := api.LongLine{Reply: &reply}
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
