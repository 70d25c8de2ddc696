package client

import (
	"context"
	"net/http"
	"net/url"

	"fleettop/daemon/api"
)

// Connectivity returns what each machine sees of each other one. It takes up to a
// second; machines that don't answer by then have a view with an error.
func (c *Client) Connectivity(ctx context.Context) (*api.Connectivity, error) {
	var out api.Connectivity
	return &out, c.call(ctx, http.MethodGet, "/v1/connectivity", nil, nil, &out)
}

// LocalConnections returns what the daemon's own machine sees of some machines, by ID.
func (c *Client) LocalConnections(ctx context.Context, machines []string) (*api.Connections, error) {
	var out api.Connections
	q := url.Values{"local": {"true"}, "machine": machines}
	return &out, c.call(ctx, http.MethodGet, "/v1/connectivity", q, nil, &out)
}
