package client

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strconv"

	"fleettop/daemon/api"
)

// Backup returns a backup of the cluster's state as the bytes of its file.
func (c *Client) Backup(ctx context.Context) ([]byte, error) {
	resp, err := c.do(ctx, http.MethodGet, "/v1/backup", nil, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := readAll(resp)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp.Status, raw)
	}
	return raw, nil
}

// Restore has the daemon write what a backup's file has and the cluster hasn't.
func (c *Client) Restore(ctx context.Context, file []byte, o api.RestoreOptions) (*api.RestoreReply, error) {
	q := url.Values{"dry-run": {strconv.FormatBool(o.DryRun)}, "inactive": {strconv.FormatBool(o.Inactive)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/v1/restore?"+q.Encode(), bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", api.BackupType)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	defer resp.Body.Close()
	raw, err := readAll(resp)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	var reply api.RestoreReply
	return &reply, c.decode(resp, raw, &reply)
}
