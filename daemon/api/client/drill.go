package client

import (
	"context"
	"net/http"
	"net/url"

	"fleettop/daemon/api"
)

// PlanDrill tells what a loss of a machine's power would do to its units.
func (c *Client) PlanDrill(ctx context.Context, machine string) (*api.DrillPlan, error) {
	var plan api.DrillPlan
	return &plan, c.call(ctx, http.MethodGet, "/v1/machines/"+url.PathEscape(machine)+"/drill", nil, nil, &plan)
}

// Drill takes a machine out for a time, as a loss of its power would. It returns
// when the machine has taken that up; the timeline tells the rest.
func (c *Client) Drill(ctx context.Context, machine string, req api.DrillRequest) (*api.DrillReply, error) {
	var reply api.DrillReply
	return &reply, c.call(ctx, http.MethodPost, "/v1/machines/"+url.PathEscape(machine)+"/drill", nil, req, &reply)
}
