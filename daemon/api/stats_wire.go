package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"
)

// Stats is what one machine uses, about every two seconds while somebody looks.
type Stats struct {
	Time        time.Time   `json:"time"`
	Machine     string      `json:"machine"`
	CPU         float64     `json:"cpu"`         // cores in use
	CPUs        int         `json:"cpus"`        // cores there are
	Memory      int64       `json:"memory"`      // bytes in use
	MemoryTotal int64       `json:"memoryTotal"` // bytes there are
	Load1       float64     `json:"load1"`       // load average of a minute
	Uptime      float64     `json:"uptime"`      // seconds since the machine was booted
	Units       []UnitStats `json:"units,omitempty"`
}

// UnitStats is what one unit uses on the machine.
type UnitStats struct {
	Name   string  `json:"name"`
	CPU    float64 `json:"cpu"`    // cores
	Memory int64   `json:"memory"` // bytes
}

// Stats calls f with what each live machine uses, again and again, until f or
// the connection fails, or ctx ends; it returns that error. A daemon that keeps
// no figures answers with CodeNotFound.
func (c *Client) Stats(ctx context.Context, f func(Stats) error) error {
	return c.stats(ctx, url.Values{"follow": {"true"}}, f)
}

// LocalStats is Stats of the daemon's own machine alone.
func (c *Client) LocalStats(ctx context.Context, f func(Stats) error) error {
	return c.stats(ctx, url.Values{"follow": {"true"}, "local": {"true"}}, f)
}

func (c *Client) stats(ctx context.Context, q url.Values, f func(Stats) error) error {
	return c.lines(ctx, "/v1/stats", q, nil, func(raw []byte) error {
		var s Stats
		if err := json.Unmarshal(raw, &s); err != nil {
			return fmt.Errorf("the figures of %s can't be read: %w: is it a fleettop of another version?", c.endpoint, err)
		}
		return f(s)
	})
}
