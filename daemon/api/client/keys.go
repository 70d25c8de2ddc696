package client

import (
	"context"
	"net/http"

	"fleettop/daemon/api"
)

// Keys tells which keys the cluster has.
func (c *Client) Keys(ctx context.Context) (*api.KeyList, error) {
	var list api.KeyList
	return &list, c.call(ctx, http.MethodGet, "/v1/keys", nil, nil, &list)
}

// RotateKey begins a rotation of the cluster's key.
func (c *Client) RotateKey(ctx context.Context) (*api.KeyList, error) {
	var list api.KeyList
	return &list, c.call(ctx, http.MethodPost, "/v1/keys/rotate", nil, nil, &list)
}

// FinishRotation drops the old key without waiting for machines that are off.
func (c *Client) FinishRotation(ctx context.Context) (*api.KeyList, error) {
	var list api.KeyList
	return &list, c.call(ctx, http.MethodPost, "/v1/keys/finish", nil, nil, &list)
}

// JoinToken makes a token by which one machine can join.
func (c *Client) JoinToken(ctx context.Context) (*api.JoinToken, error) {
	var t api.JoinToken
	return &t, c.call(ctx, http.MethodPost, "/v1/join-token", nil, nil, &t)
}
