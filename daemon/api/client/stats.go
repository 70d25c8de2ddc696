package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"fleettop/daemon/api"
)

// Stats calls f with what each live machine uses, again and again, until f or
// the connection fails, or ctx ends; it returns that error. A daemon that keeps
// no figures answers with CodeNotFound.
func (c *Client) Stats(ctx context.Context, f func(api.Stats) error) error {
	return c.stats(ctx, url.Values{"follow": {"true"}}, f)
}

// LocalStats is Stats of the daemon's own machine alone.
func (c *Client) LocalStats(ctx context.Context, f func(api.Stats) error) error {
	return c.stats(ctx, url.Values{"follow": {"true"}, "local": {"true"}}, f)
}

func (c *Client) stats(ctx context.Context, q url.Values, f func(api.Stats) error) error {
	return c.lines(ctx, "/v1/stats", q, nil, func(raw []byte) error {
		var s api.Stats
		if err := json.Unmarshal(raw, &s); err != nil {
			return fmt.Errorf("the figures of %s can't be read: %w: is it a fleettop of another version?", c.endpoint, err)
		}
		return f(s)
	})
}
