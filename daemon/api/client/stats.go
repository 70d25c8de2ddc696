package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
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

// StatsHistory returns what machines used during the last hour, or what a unit did on them where one
// is named: of all live machines, or of some by ID. A machine that doesn't answer is left out.
func (c *Client) StatsHistory(ctx context.Context, unit string, machines ...string) ([]api.StatsHistory, error) {
	return c.statsHistory(ctx, url.Values{"unit": {unit}, "machine": machines})
}

// LocalStatsHistory is StatsHistory of the daemon's own machine alone.
func (c *Client) LocalStatsHistory(ctx context.Context, unit string) ([]api.StatsHistory, error) {
	return c.statsHistory(ctx, url.Values{"unit": {unit}, "local": {"true"}})
}

func (c *Client) statsHistory(ctx context.Context, q url.Values) ([]api.StatsHistory, error) {
	var list api.HistoryList
	err := c.call(ctx, http.MethodGet, "/v1/stats/history", q, nil, &list)
	return list.Series, err
}

// Processes returns the processes of a unit, on some machines by ID.
func (c *Client) Processes(ctx context.Context, unit string, machines ...string) ([]api.UnitProcesses, error) {
	return c.processes(ctx, unit, url.Values{"machine": machines})
}

// LocalProcesses is Processes of the daemon's own machine alone.
func (c *Client) LocalProcesses(ctx context.Context, unit string) ([]api.UnitProcesses, error) {
	return c.processes(ctx, unit, url.Values{"local": {"true"}})
}

func (c *Client) processes(ctx context.Context, unit string, q url.Values) ([]api.UnitProcesses, error) {
	if !segment(unit) {
		return nil, api.UnitNotFound(unit)
	}
	var list api.ProcessList
	err := c.call(ctx, http.MethodGet, "/v1/units/"+escape(unit)+"/processes", q, nil, &list)
	return list.Machines, err
}
