package fleetv1

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"fleettop/units"
)

// Client lists what a fleet API has: a fleetd's, or a fleettop daemon's. It changes nothing. Its
// methods return *Error for what the API refused.
type Client struct {
	base string
	http *http.Client
}

// Dial returns a client of the API at an endpoint: unix:///path, http://host:port or
// https://host:port. Nothing is sent before the first call. Close releases its connections.
func Dial(endpoint string) (*Client, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint %q: %w: give unix:///run/fleet.sock or http://host:port", endpoint, err)
	}
	t := &http.Transport{}
	c := &Client{http: &http.Client{Transport: t}}
	switch {
	case u.Scheme == "unix" && u.Host == "" && u.Path != "":
		c.base = "http://fleet"
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", u.Path)
		}
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && strings.Trim(u.Path, "/") == "":
		c.base = u.Scheme + "://" + u.Host
	default:
		return nil, fmt.Errorf("endpoint %q: give unix:///run/fleet.sock or http://host:port", endpoint)
	}
	return c, nil
}

// Close releases idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Units lists all units, by name.
func (c *Client) Units(ctx context.Context) ([]Unit, error) {
	return list(ctx, c, "/units", func(p *UnitPage) ([]Unit, string) { return p.Units, p.NextPageToken })
}

// States lists the states of all units on all machines, by name.
func (c *Client) States(ctx context.Context) ([]UnitState, error) {
	return list(ctx, c, "/state", func(p *UnitStatePage) ([]UnitState, string) { return p.States, p.NextPageToken })
}

// Machines lists the machines that are up, by ID.
func (c *Client) Machines(ctx context.Context) ([]Machine, error) {
	return list(ctx, c, "/machines", func(p *MachinePage) ([]Machine, string) { return p.Machines, p.NextPageToken })
}

// list reads all pages at a path.
func list[Page, Entry any](ctx context.Context, c *Client, path string,
	of func(*Page) (entries []Entry, next string)) ([]Entry, error) {
	var all []Entry
	for token := ""; ; {
		page := new(Page)
		if err := c.get(ctx, path, token, page); err != nil {
			return nil, err
		}
		entries, next := of(page)
		all = append(all, entries...)
		if next == "" {
			return all, nil
		}
		if next == token {
			return nil, fmt.Errorf("%s: the API gives page %q for ever", path, token)
		}
		token = next
	}
}

// maxAnswer bounds an answer: a page of the largest unit files, escaped.
const maxAnswer = 2 * PageSize * units.MaxFileSize

func (c *Client) get(ctx context.Context, path, token string, into any) error {
	query := url.Values{"alt": {"json"}}
	if token != "" {
		query.Set("nextPageToken", token)
	}
	url := c.base + Prefixes()[0] + path + "?" + query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		var body ErrorBody
		if json.Unmarshal(raw, &body) != nil || body.Error.Message == "" {
			return fmt.Errorf("%s: the answer is %s: is there a fleet API?", path, resp.Status)
		}
		return &body.Error
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s: the answer can't be read: %w", path, err)
	}
	return nil
}
