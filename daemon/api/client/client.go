// Package client is the Go client of a daemon's API: package api has what is
// said, and this package the ways to a daemon and a method for each request.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/units"
)

// UnreachableError says that no daemon answers at an endpoint.
type UnreachableError struct {
	Endpoint string
	Advice   string
	Err      error
}

// Error implements error.
func (e *UnreachableError) Error() string { return e.Sentence() + "\n" + e.Advice }

// Sentence is what is wrong, without the advice.
func (e *UnreachableError) Sentence() string {
	return fmt.Sprintf("no fleettop daemon can be reached at %s: %v", e.Endpoint, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// SlowError says that a daemon did not answer within the time given.
type SlowError struct{ Endpoint string }

// Error implements error.
func (e *SlowError) Error() string { return e.Sentence() + ": " + e.Advice() }

// Sentence is what is wrong, without the advice.
func (e *SlowError) Sentence() string {
	return "the daemon at " + e.Endpoint + " did not answer in time"
}

// Advice is what to do.
func (e *SlowError) Advice() string { return "see its log, or give it longer with --request-timeout" }

// Client talks to one daemon. Its methods may be called from several
// goroutines; they return *api.Error for what the daemon refused and
// *UnreachableError where there is none.
type Client struct {
	endpoint string
	socket   string // empty for TCP
	base     string
	http     *http.Client
	revision atomic.Int64 // of this client's last write; its reads show at least that
	silence  time.Duration
	report   func(*api.Progress)
}

// Dial returns a client of the daemon at an endpoint: unix:///path or
// http://host:port. Nothing is sent before the first call. Close releases it.
func Dial(endpoint string) (*Client, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint %q: %w: give unix:///path/to/fleettop.sock or http://host:port", endpoint, err)
	}
	c := &Client{endpoint: endpoint}
	t := &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, DisableCompression: true}
	var d net.Dialer
	switch {
	case isSocket(u):
		c.socket, c.base = u.Path, "http://fleettop"
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialSocket(ctx, c.socket) }
	case u.Scheme == "http" && u.Host != "" && strings.Trim(u.Path, "/") == "":
		c.base = "http://" + u.Host
		d.Timeout = 5 * time.Second
		t.DialContext = d.DialContext
	default:
		return nil, fmt.Errorf("endpoint %q is neither unix:///path/to/fleettop.sock nor http://host:port: give one of them with --endpoint", endpoint)
	}
	c.http = &http.Client{Transport: t}
	return c, nil
}

func isSocket(u *url.URL) bool { return u.Scheme == "unix" && u.Host == "" && u.Path != "" }

// DialSocket connects to the daemon at a unix:// endpoint, without a client.
func DialSocket(ctx context.Context, endpoint string) (net.Conn, error) {
	u, err := url.Parse(endpoint)
	if err != nil || !isSocket(u) {
		return nil, fmt.Errorf("endpoint %q is not a socket of this machine: give unix:///path/to/fleettop.sock", endpoint)
	}
	conn, err := dialSocket(ctx, u.Path)
	if err != nil {
		return nil, (&Client{endpoint: endpoint, socket: u.Path}).explain(ctx, err)
	}
	return conn, nil
}

// dialSocket connects to a daemon's socket, or to the one for viewers beside
// it, for those who may only look.
func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if errors.Is(err, fs.ErrPermission) {
		if view, viewErr := d.DialContext(ctx, "unix", api.ViewSocket(path)); viewErr == nil {
			return view, nil
		}
	}
	return conn, err
}

// DialMultiplexed is DialWith for connections that are dear: all requests and
// streams share one, and a dead one is noticed.
func DialMultiplexed(endpoint string, dial func(context.Context) (net.Conn, error)) *Client {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	t := &http.Transport{Protocols: &protocols, DisableCompression: true, IdleConnTimeout: time.Minute,
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second}}
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	return &Client{endpoint: endpoint, base: "http://fleettop", http: &http.Client{Transport: t}}
}

// DialWith returns a client of the daemon that dial connects to, in whatever
// way; endpoint is what it is called in errors.
func DialWith(endpoint string, dial func(context.Context) (net.Conn, error)) *Client {
	t := &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, DisableCompression: true}
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	return &Client{endpoint: endpoint, base: "http://fleettop", http: &http.Client{Transport: t}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Endpoint is what the client was dialled with.
func (c *Client) Endpoint() string { return c.endpoint }

// do sends a request and returns the reply if it is a success.
func (c *Client) do(ctx context.Context, method, path string, q url.Values, body any) (*http.Response, error) {
	return c.send(ctx, method, path, q, body, "")
}

// send is do with what the client accepts, if that isn't anything.
func (c *Client) send(ctx context.Context, method, path string, q url.Values, body any,
	accept string) (*http.Response, error) {
	var send io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		send = bytes.NewReader(raw)
	}
	if rev := c.revision.Load(); method == http.MethodGet && rev > 0 {
		if q == nil {
			q = url.Values{}
		}
		q.Set("revision", strconv.FormatInt(rev, 10))
	}
	target := c.base + path
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, send)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	return resp, nil
}

// call sends a request and reads the reply into out.
func (c *Client) call(ctx context.Context, method, path string, q url.Values, body, out any) error {
	resp, err := c.do(ctx, method, path, q, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := readAll(resp)
	if err != nil {
		return c.explain(ctx, err)
	}
	return c.decode(resp, raw, out)
}

// decode reads the body of a reply into out.
func (c *Client) decode(resp *http.Response, raw []byte, out any) error {
	if resp.StatusCode >= 300 {
		// A batch that failed as a whole still tells of each unit.
		if reply, ok := out.(*api.ActionReply); ok && json.Unmarshal(raw, reply) == nil && len(reply.Results) > 0 {
			return nil
		}
		return refusal(resp.Status, raw)
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("the daemon at %s answered something else than its API has: %w: is it a fleettop of another version?", c.endpoint, err)
	}
	return nil
}

// readAll reads a body whose length is told in one go.
func readAll(resp *http.Response) ([]byte, error) {
	if n := resp.ContentLength; n > 0 && n < 1<<30 {
		raw := make([]byte, n)
		_, err := io.ReadFull(resp.Body, raw)
		return raw, err
	}
	return io.ReadAll(resp.Body)
}

// refusal is the error in a reply.
func refusal(status string, raw []byte) error {
	var body struct {
		Error *api.Error `json:"error"`
	}
	if json.Unmarshal(raw, &body) == nil && body.Error != nil {
		return body.Error
	}
	return api.Refuse(api.CodeInternal, "is it a fleettop daemon that listens there?", "the daemon answered %s", status)
}

// explain says what to do about a connection that failed.
func (c *Client) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(context.Cause(ctx), errSilent) {
			return &SlowError{c.endpoint}
		}
		return ctx.Err()
	}
	// The path of the request says nothing to a person.
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	out := &UnreachableError{Endpoint: c.endpoint, Err: err}
	switch {
	case strings.HasPrefix(c.endpoint, "ssh://"):
		out.Advice = "Try `ssh HOST fleettop version` with the same user and port: it must work, and fleettop must be installed there and run."
	case c.socket == "":
		out.Advice = "Is the daemon running there, and the port right? Another one can be named with --endpoint."
	case errors.Is(err, fs.ErrPermission):
		out.Advice = "Its socket belongs to the group " + socketGroup(c.socket) +
			": run as root (sudo), or join the group (usermod -aG " + socketGroup(c.socket) + " USER) and log in again. " +
			"To look only, the group " + api.ViewGroup + " will do."
		if socketGroup(c.socket) == "root" {
			out.Advice = "It is for root alone: run as root (sudo)."
		}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		out.Advice = "Start one with `systemctl start fleettop` or `fleettop daemon`, try it out with `fleettop demo`, or name another socket with --endpoint."
	default:
		out.Advice = "See the daemon's log (`journalctl -u fleettop`); another daemon can be named with --endpoint."
	}
	return out
}

func socketGroup(path string) string {
	st, err := os.Stat(path)
	if err != nil {
		return api.Group
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return api.Group
	}
	gid := strconv.FormatUint(uint64(sys.Gid), 10)
	if g, err := user.LookupGroupId(gid); err == nil {
		return g.Name
	}
	return gid
}

// Act carries out a verb for a batch of units. Refusals of single units are in
// the results; the error is for what failed as a whole.
func (c *Client) Act(ctx context.Context, req api.ActionRequest) (*api.ActionReply, error) {
	var reply api.ActionReply
	if err := c.long(ctx, "/v1/actions", req, &reply); err != nil {
		return nil, err
	}
	c.revision.Store(max(c.revision.Load(), reply.Revision))
	return &reply, nil
}

// Units lists units that match one of the names or globs, or all; placed
// leaves out those that are on no machine.
func (c *Client) Units(ctx context.Context, placed bool, patterns ...string) (*api.UnitList, error) {
	var list api.UnitList
	return &list, c.call(ctx, http.MethodGet, "/v1/units", unitQuery(placed, patterns), nil, &list)
}

// Table lists the same units with no more than tables need.
func (c *Client) Table(ctx context.Context, placed bool, patterns ...string) (*api.UnitTable, error) {
	q := unitQuery(placed, patterns)
	q.Set("table", "true")
	var t api.UnitTable
	return &t, c.call(ctx, http.MethodGet, "/v1/units", q, nil, &t)
}

func unitQuery(placed bool, patterns []string) url.Values {
	q := url.Values{}
	if len(patterns) > 0 {
		q["unit"] = patterns
	}
	if placed {
		q.Set("placed", "true")
	}
	return q
}

// Unit returns one unit with its content.
func (c *Client) Unit(ctx context.Context, name string) (*api.UnitDetail, error) {
	var u api.UnitDetail
	if !segment(name) {
		return nil, api.UnitNotFound(name)
	}
	return &u, c.call(ctx, http.MethodGet, "/v1/units/"+escape(name), nil, nil, &u)
}

// Explain tells where a unit is, and what would be decided of it now.
func (c *Client) Explain(ctx context.Context, name string) (*api.Explanation, error) {
	var ex api.Explanation
	if !segment(name) {
		return nil, api.UnitNotFound(name)
	}
	return &ex, c.call(ctx, http.MethodGet, "/v1/units/"+escape(name)+"/explain", nil, nil, &ex)
}

// Machines lists the machines.
func (c *Client) Machines(ctx context.Context) (*api.MachineList, error) {
	var list api.MachineList
	return &list, c.call(ctx, http.MethodGet, "/v1/machines", nil, nil, &list)
}

// HostUnit returns a unit that a machine has under a file of its host's own.
func (c *Client) HostUnit(ctx context.Context, machine, unit string) (units.HostUnit, error) {
	var u units.HostUnit
	if !segment(machine) {
		return u, api.MachineNotFound(machine)
	}
	if !segment(unit) {
		return u, api.UnitNotFound(unit)
	}
	err := c.call(ctx, http.MethodGet, "/v1/machines/"+escape(machine)+"/host/"+escape(unit), nil, nil, &u)
	return u, err
}

// Schedule cordons, drains or uncordons a machine, named by its ID, the
// beginning of it, or its name.
func (c *Client) Schedule(ctx context.Context, machine, verb string) (*api.Machine, error) {
	var m api.Machine
	if !segment(machine) {
		return nil, api.MachineNotFound(machine)
	}
	return &m, c.call(ctx, http.MethodPost, "/v1/machines/"+escape(machine)+"/"+verb, nil, nil, &m)
}

// TestNotify has the daemon send a test to its receivers of notices.
func (c *Client) TestNotify(ctx context.Context) (*api.NotifyReport, error) {
	var report api.NotifyReport
	return &report, c.call(ctx, http.MethodPost, "/v1/notify/test", nil, nil, &report)
}

// Forget removes the record of a machine that is gone.
func (c *Client) Forget(ctx context.Context, machine string) (*api.Machine, error) {
	var m api.Machine
	if !segment(machine) {
		return nil, api.MachineNotFound(machine)
	}
	return &m, c.call(ctx, http.MethodDelete, "/v1/machines/"+escape(machine), nil, nil, &m)
}

// Leave makes the daemon's machine leave the cluster for good. It returns when
// the machine's units have moved; the daemon ends soon after that.
func (c *Client) Leave(ctx context.Context, req api.LeaveRequest) (*api.Moved, error) {
	var moved api.Moved
	return &moved, c.long(ctx, "/v1/leave", req, &moved)
}

// PlanDrain tells what draining some machines would do to their units. A
// daemon that is asked of no machine tells of its own.
func (c *Client) PlanDrain(ctx context.Context, machines ...string) (*api.DrainPlan, error) {
	var plan api.DrainPlan
	return &plan, c.call(ctx, http.MethodGet, "/v1/drain", url.Values{"machine": machines}, nil, &plan)
}

// PlanRebalance returns the moves that would balance the machines' loads, at most
// most of them if that isn't 0, or those of a rebalance that goes on.
func (c *Client) PlanRebalance(ctx context.Context, exclusive bool, most int) (*api.RebalancePlan, error) {
	q := url.Values{"exclusive": {strconv.FormatBool(exclusive)}}
	if most > 0 {
		q.Set("max", strconv.Itoa(most))
	}
	var plan api.RebalancePlan
	return &plan, c.call(ctx, http.MethodGet, "/v1/rebalance", q, nil, &plan)
}

// Rebalance has the leader make moves of a plan, waits for those that go on, or takes them back.
func (c *Client) Rebalance(ctx context.Context, req api.RebalanceRequest) (*api.RebalanceReply, error) {
	var reply api.RebalanceReply
	if err := c.long(ctx, "/v1/rebalance", req, &reply); err != nil {
		return nil, err
	}
	c.revision.Store(max(c.revision.Load(), reply.Revision))
	return &reply, nil
}

// ScheduleAll cordons, drains or uncordons machines together, each named by
// its ID, the beginning of it, or its name. What is refused for one of them is
// in its result; the error is for what failed as a whole.
func (c *Client) ScheduleAll(ctx context.Context, req api.MachinesRequest) (*api.MachinesReply, error) {
	var reply api.MachinesReply
	if err := c.long(ctx, "/v1/machines", req, &reply); err != nil {
		return nil, err
	}
	c.revision.Store(max(c.revision.Load(), reply.Revision))
	return &reply, nil
}

// Version tells the daemon's version.
func (c *Client) Version(ctx context.Context) (*api.Version, error) {
	var v api.Version
	return &v, c.call(ctx, http.MethodGet, "/v1/version", nil, nil, &v)
}

// Events returns the newest limit events (0 for the server's default) since a
// time or age, as text; "" is the beginning.
func (c *Client) Events(ctx context.Context, since string, limit int) ([]cluster.Event, error) {
	list, err := c.Timeline(ctx, since, limit)
	return list.Events, err
}

// Timeline is Events with how old they are.
func (c *Client) Timeline(ctx context.Context, since string, limit int) (*api.EventList, error) {
	var list api.EventList
	return &list, c.call(ctx, http.MethodGet, "/v1/events", eventQuery(since, limit, false), nil, &list)
}

func eventQuery(since string, limit int, follow bool) url.Values {
	q := url.Values{}
	if since != "" {
		q.Set("since", since)
	}
	if limit >= 0 {
		q.Set("limit", strconv.Itoa(cmp.Or(limit, api.EventsDefault)))
	}
	if follow {
		q.Set("follow", "true")
	}
	return q
}

// segment reports whether a name can be one segment of a path: these are
// taken out of it on the way, and are the name of nothing.
func segment(name string) bool { return strings.Trim(name, "./") != "" }

// escape makes a name one segment of a path.
func escape(name string) string {
	return strings.ReplaceAll(url.PathEscape(name), "@", "%40")
}
