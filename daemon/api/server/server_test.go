package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/daemon/api/client"
	"fleettop/daemon/api/server"
	"fleettop/units"
)

const service = "[Unit]\nDescription=A test\n[Service]\nExecStart=/bin/true\n"

func send(t *testing.T, c *apitest.Cluster, method, path, contentType, body string) (int, string) {
	t.Helper()
	socket := strings.TrimPrefix(c.Endpoint, "unix://")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://fleettop"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

func submit(t *testing.T, c *client.Client, verb api.Verb, name, content string) api.UnitResult {
	t.Helper()
	req := api.ActionRequest{Verb: verb, Files: []api.File{{Name: name, Content: content}}}
	if content == "" {
		req = api.ActionRequest{Verb: verb, Units: []string{name}}
	}
	reply, err := c.Act(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return reply.Results[0]
}

func TestBadInput(t *testing.T) {
	c := apitest.Start(t, 2)
	client := c.Client()
	submit(t, client, api.Submit, "known.service", service)
	submit(t, client, api.Submit, "zk@.service", service)
	action := func(verb, name, content string) string {
		raw, err := json.Marshal(api.ActionRequest{Verb: api.Verb(verb), Files: []api.File{{Name: name, Content: content}}})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	const js = "application/json"
	for _, tc := range []struct {
		name, method, path, ctype, body string
		status                          int
		says                            string
	}{
		{"no such path", "GET", "/v2", "", "", 404, "there is nothing at /v2"},
		{"wrong method", "PATCH", "/v1/units", "", "", 405, "use GET or POST"},
		{"no content type", "POST", "/v1/actions", "", `{}`, 415, "application/json"},
		{"not JSON", "POST", "/v1/actions", js, `{`, 400, "can't be read"},
		{"two values", "POST", "/v1/actions", js, `{"verb":"start","units":["known.service"]} {}`, 400, "more after"},
		{"unknown field", "POST", "/v1/actions", js, `{"verb":"start","unit":"known.service"}`, 400, "unit"},
		{"unknown verb", "POST", "/v1/actions", js, `{"verb":"explode","units":["known.service"]}`, 400, "choose one of submit, load"},
		{"nothing named", "POST", "/v1/actions", js, `{"verb":"start"}`, 400, "no unit to start"},
		{"files for stop", "POST", "/v1/actions", js, action("stop", "known.service", service), 400, "stop takes no files"},
		{"replace for stop", "POST", "/v1/actions", js, `{"verb":"stop","units":["known.service"],"replace":true}`, 400, "replaces no files"},
		{"unknown unit", "POST", "/v1/actions", js, `{"verb":"stop","units":["nope.service"]}`, 404, "Unit nope.service not found"},
		{"slash in a name", "POST", "/v1/actions", js, action("submit", "a/b.service", service), 400, "a/b.service"},
		{"slash in a path", "GET", "/v1/units/a%2Fb.service", "", "", 400, "a/b.service"},
		{"no type", "POST", "/v1/actions", js, action("submit", "web", service), 400, "web.service"},
		{"1 MiB file", "POST", "/v1/actions", js, action("submit", "big.service", service+strings.Repeat("#", 1<<20)), 400, "big.service"},
		{"binary file", "POST", "/v1/actions", js, action("submit", "bin.service", "\x7fELF\x00\x01"), 400, "bin.service"},
		{"empty file", "POST", "/v1/actions", js, action("submit", "empty.service", ""), 400, "empty.service"},
		{"33 MiB request", "POST", "/v1/actions", js, action("submit", "huge.service", strings.Repeat("#", 33<<20)), 413, "several requests"},
		{"other content", "POST", "/v1/actions", js, action("submit", "known.service", service+"User=nobody\n"), 409, "--replace"},
		{"conflicting options", "POST", "/v1/actions", js, action("submit", "bad.service", service+"[X-Fleet]\nGlobal=true\nMachineOf=known.service\n"), 400, "bad.service"},
		{"circular replaces", "POST", "/v1/units", js, `{"units":[{"name":"x.service","content":"[Service]\nExecStart=/bin/true\n[X-Fleet]\nReplaces=x.service\n"}]}`, 400, "x.service"},
		{"load a template", "POST", "/v1/actions", js, `{"verb":"load","units":["zk@.service"]}`, 400, "zk@.service is a template"},
		{"start a template's file", "POST", "/v1/actions", js, action("start", "db@.service", service), 400, "db@.service is a template"},
		{"no such desired state", "POST", "/v1/units", js, `{"units":[{"name":"a.service","content":"x"}],"desired":"running"}`, 400, "running"},
		{"unit not there", "GET", "/v1/units/nope.service", "", "", 404, "nope.service"},
		{"bad revision", "GET", "/v1/units?revision=x", "", "", 400, "revision"},
		{"bad since", "GET", "/v1/events?since=whenever", "", "", 400, "is no time"},
		{"bad limit", "GET", "/v1/events?limit=-1", "", "", 400, "limit"},
		{"machine not there", "POST", "/v1/machines/zzz/drain", "", "", 404, "zzz"},
		{"no such machine verb", "POST", "/v1/machines/n1/explode", "", "", 404, "explode"},
		{"forget a living machine", "DELETE", "/v1/machines/n2", "", "", 409, "leave"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, body := send(t, c, tc.method, tc.path, tc.ctype, tc.body)
			if status != tc.status || !strings.Contains(body, tc.says) {
				t.Errorf("answered %d %s; want %d with %q", status, body, tc.status, tc.says)
			}
			var e struct{ Error *api.Error }
			if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error == nil || e.Error.Code == "" || e.Error.Message == "" {
				t.Errorf("not an error as the API has them: %s", body)
			}
		})
	}
	list, err := client.Units(t.Context(), false)
	if err != nil || len(list.Units) != 2 {
		t.Errorf("refused input left something: %v, %v", list, err)
	}
}

func TestTemplateSentence(t *testing.T) {
	client := apitest.Start(t, 1).Client()
	submit(t, client, api.Submit, "zk@.service", service)
	r := submit(t, client, api.Load, "zk@.service", "")
	if want := "zk@.service is a template: load an instance of it, such as zk@1.service"; r.Error == nil || r.Error.Error() != want {
		t.Errorf("refused with %v, want %q", r.Error, want)
	}
	if r := submit(t, client, api.Load, "zk@1.service", ""); r.Error != nil || r.Generation != 1 || r.Desired != units.Loaded {
		t.Errorf("an instance gets its template's file: %+v", r)
	}
	u, err := client.Unit(t.Context(), "zk@1.service")
	if err != nil || u.Content != service || u.Description != "A test" {
		t.Errorf("the instance is %+v, %v", u, err)
	}
}

func TestReplacesInACircleOverABatch(t *testing.T) {
	client := apitest.Start(t, 1).Client()
	file := func(name, other string) api.File {
		return api.File{Name: name, Content: service + "[X-Fleet]\nReplaces=" + other + "\n"}
	}
	reply, err := client.Act(t.Context(), api.ActionRequest{Verb: api.Submit, Files: []api.File{file("x.service", "y.service"), file("y.service", "x.service")}})
	if err != nil {
		t.Fatal(err)
	}
	if reply.Results[0].Error == nil || reply.Results[1].Error != nil {
		t.Errorf("one of the two closes the circle and is refused: %+v", reply.Results)
	}
	if reply, err = client.Act(t.Context(), api.ActionRequest{Verb: api.Submit, Files: []api.File{file("x.service", "y.service")}}); err != nil || reply.Results[0].Error == nil {
		t.Errorf("the circle is seen across requests, too: %+v, %v", reply, err)
	}
}

func TestActionsAreSeenByReads(t *testing.T) {
	c := apitest.Start(t, 3)
	client := c.Client()
	var files []api.File
	for i := range 200 {
		files = append(files, api.File{Name: fmt.Sprintf("u%03d.service", i), Content: service})
	}
	reply, err := client.Act(t.Context(), api.ActionRequest{Verb: api.Start, Files: files})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reply.Results {
		if r.Error != nil || !r.Changed || r.Generation != 1 || r.Desired != units.Launched {
			t.Fatalf("result %+v", r)
		}
	}
	list, err := client.Units(t.Context(), false)
	if err != nil || len(list.Units) != 200 || list.Revision < reply.Revision {
		t.Fatalf("%d units at %d after a write at %d, %v", len(list.Units), list.Revision, reply.Revision, err)
	}
	apitest.Eventually(t, "all are launched", func() bool {
		list, err := client.Units(t.Context(), true)
		n := 0
		for _, u := range list.Units {
			if u.State == units.Launched {
				n++
			}
		}
		return err == nil && n == 200
	})
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	u, err := client.Unit(t.Context(), "u000.service")
	if err != nil || u.By != who.Username || u.Content != service || len(u.Placements) != 1 || len(u.Machines) != 1 {
		t.Errorf("the unit is %+v, %v", u, err)
	}
	events, err := client.Events(t.Context(), "1h", 0)
	if err != nil || len(events) != 1 || events[0].By != who.Username || !strings.Contains(events[0].Text, "started 200 units") {
		t.Errorf("the timeline has %+v, %v", events, err)
	}
	if r := submit(t, client, api.Destroy, "u000.service", ""); r.Error != nil {
		t.Error(r.Error)
	}
	if _, err := client.Unit(t.Context(), "u000.service"); err == nil {
		t.Error("a destroyed unit is still there")
	}
}

// meddler is a store on which somebody else changes a unit just before each
// of the first writes.
type meddler struct {
	cluster.Store
	times int
}

func (m *meddler) PutUnits(ctx context.Context, list []cluster.Unit) ([]error, error) {
	if m.times > 0 && list[0].Generation > 1 {
		m.times--
		theirs := list[0]
		theirs.By, theirs.Desired = "somebody else", units.Loaded
		if errs, err := m.Store.PutUnits(ctx, []cluster.Unit{theirs}); err != nil || errs[0] != nil {
			return errs, err
		}
	}
	return m.Store.PutUnits(ctx, list)
}

func TestActionsSurviveConflicts(t *testing.T) {
	var m *meddler
	client := apitest.Start(t, 1, func(cfg *server.Config) { m = &meddler{Store: cfg.Store}; cfg.Store = m }).Client()
	submit(t, client, api.Start, "a.service", service)
	m.times = 3
	if r := submit(t, client, api.Restart, "a.service", ""); r.Error != nil || !r.Changed || r.Generation != 5 || r.Desired != units.Launched {
		t.Errorf("after three others: %+v", r)
	}
	m.times = 1000
	if r := submit(t, client, api.Restart, "a.service", ""); r.Error == nil || r.Error.Code != api.CodeConflict || r.Changed {
		t.Errorf("against somebody who is always faster: %+v", r)
	}
}

func TestMachines(t *testing.T) {
	c := apitest.Start(t, 3)
	client := c.Client()
	two := apitest.Machine(2)
	for _, name := range []string{two.ID, two.Name, "20000000", "20000000..."} {
		m, err := client.Schedule(t.Context(), name, "drain")
		if err != nil || m.ID != two.ID || m.Schedule != cluster.Drained {
			t.Errorf("drain %s: %+v, %v", name, m, err)
		}
	}
	if m, err := client.Schedule(t.Context(), two.Name, "uncordon"); err != nil || m.Schedule != cluster.Schedulable {
		t.Errorf("uncordon: %+v, %v", m, err)
	}
	ghost := apitest.Machine(9)
	store := c.Mem.Open()
	defer store.Close()
	if err := store.UpdateMachine(t.Context(), ghost.ID, func(m *cluster.Machine) error { *m = ghost; return nil }); err != nil {
		t.Fatal(err)
	}
	apitest.Eventually(t, "the dead machine is listed", func() bool {
		list, err := client.Machines(t.Context())
		return err == nil && len(list.Machines) == 4 && list.Machines[3].Health.State == cluster.Failed
	})
	if m, err := client.Forget(t.Context(), "n9"); err != nil || m.ID != ghost.ID {
		t.Errorf("forget: %+v, %v", m, err)
	}
	list, err := client.Machines(t.Context())
	if err != nil || len(list.Machines) != 3 || !list.Machines[0].Self || !list.Machines[0].Leader || list.Machines[1].Leader {
		t.Errorf("machines %+v, %v", list, err)
	}
	if _, err := client.Leave(t.Context(), api.LeaveRequest{}); err != nil {
		t.Error(err)
	}
	<-c.Left
}

func TestStoreLost(t *testing.T) {
	c := apitest.Start(t, 2)
	client := c.Client()
	submit(t, client, api.Start, "a.service", service)
	c.Store.SetReachable(false)
	apitest.Eventually(t, "reads say that they are old", func() bool {
		list, err := client.Machines(t.Context())
		return err == nil && len(list.Machines) == 2 && !list.Store.Connected && !list.Store.Since.IsZero()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	_, err := client.Act(ctx, api.ActionRequest{Verb: api.Stop, Units: []string{"a.service"}})
	if e, ok := err.(*api.Error); !ok || e.Code != api.CodeUnavailable {
		t.Errorf("a write without a store: %v", err)
	}
	if status, body := send(t, c, "GET", "/healthz", "", ""); status != 503 {
		t.Errorf("healthz: %d %s", status, body)
	}
	c.Store.SetReachable(true)
	apitest.Eventually(t, "the store is back", func() bool {
		list, err := client.Machines(t.Context())
		return err == nil && list.Store.Connected
	})
	if status, body := send(t, c, "GET", "/healthz", "", ""); status != 200 {
		t.Errorf("healthz: %d %s", status, body)
	}
}

func TestUnplacedAndExplain(t *testing.T) {
	client := apitest.Start(t, 2).Client()
	submit(t, client, api.Start, "far.service", service+"[X-Fleet]\nMachineMetadata=rack=99\n")
	apitest.Eventually(t, "the leader's reason is told", func() bool {
		u, err := client.Unit(t.Context(), "far.service")
		return err == nil && strings.Contains(u.Unplaced, "rack=99")
	})
	ex, err := client.Explain(t.Context(), "far.service")
	if err != nil || len(ex.On) != 0 || len(ex.Verdicts) != 2 {
		t.Errorf("explanation %+v, %v", ex, err)
	}
}

func TestHeld(t *testing.T) {
	c := apitest.Start(t, 3)
	client := c.Client()
	f := follow(t, client, api.WatchOptions{})
	submit(t, client, api.Start, "a.service", service+"[X-Fleet]\nMachineMetadata=rack=3\nMachineMetadata=rack=2\n")
	apitest.Eventually(t, "it is placed", func() bool {
		u, err := client.Unit(t.Context(), "a.service")
		return err == nil && len(u.Placements) == 1
	})
	unit, err := client.Unit(t.Context(), "a.service")
	if err != nil || unit.Placements[0].Held != "" {
		t.Fatalf("before: %+v, %v", unit, err)
	}
	on := unit.Placements[0].Machine
	const why = "2 of 3 machines vanished at once"
	c.Hold(why)
	c.SetHealth(on, cluster.Failed)
	apitest.Eventually(t, "the unit says why it stays", func() bool {
		u, err := client.Unit(t.Context(), "a.service")
		return err == nil && len(u.Placements) == 1 && u.Placements[0].Machine == on && strings.HasSuffix(u.Placements[0].Held, "which failed, as failovers are held: "+why)
	})
	ex, err := client.Explain(t.Context(), "a.service")
	if err != nil || !slices.Equal(ex.On, []string{on}) || !strings.HasSuffix(ex.Reason, why) {
		t.Errorf("explained as %+v, %v", ex, err)
	}
	table, err := client.Table(t.Context(), true)
	if err != nil || table.Hold != why || len(table.Rows) != 1 || !strings.HasSuffix(table.Rows[0].Reason, why) {
		t.Errorf("listed as %+v, %v", table, err)
	}
	machines, err := client.Machines(t.Context())
	if err != nil || machines.Hold != why {
		t.Errorf("machines: %+v, %v", machines, err)
	}
	apitest.Eventually(t, "the watch tells", func() bool {
		return f.saw(func(l api.Line) bool { return l.Leader != nil && l.Leader.Hold == why })
	})
	c.Hold("")
	apitest.Eventually(t, "it moves when the hold ends", func() bool {
		u, err := client.Unit(t.Context(), "a.service")
		return err == nil && len(u.Placements) == 1 && u.Placements[0].Machine != on && u.Placements[0].Held == ""
	})
}

func TestMetricsAndVersion(t *testing.T) {
	c := apitest.Start(t, 2)
	client := c.Client()
	submit(t, client, api.Submit, "a.service", service)
	status, body := send(t, c, "GET", "/metrics", "", "")
	for _, want := range []string{`fleettop_machines{state="up"} 2`, `fleettop_units{desired="inactive"} 1`, "fleettop_leader 1", "fleettop_store_connected 1", `fleettop_api_requests_total{status="200"}`} {
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if v, err := client.Version(t.Context()); err != nil || v.Version != "test" || v.MachineID != apitest.Machine(1).ID {
		t.Errorf("version %+v, %v", v, err)
	}
}

func TestDialErrors(t *testing.T) {
	for _, endpoint := range []string{"", "fleettop.sock", "ftp://x", "unix://relative", "http://"} {
		if _, err := client.Dial(endpoint); err == nil || !strings.Contains(err.Error(), "unix:///") {
			t.Errorf("Dial(%q): %v", endpoint, err)
		}
	}
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead.sock")
	l, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	for _, path := range []string{filepath.Join(dir, "none.sock"), dead} {
		c, err := client.Dial("unix://" + path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Machines(t.Context())
		if e, ok := err.(*client.UnreachableError); !ok || !strings.Contains(err.Error(), path) || !strings.Contains(e.Advice, "systemctl start fleettop") {
			t.Errorf("no daemon: %v", err)
		}
	}
}

func TestNotADaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	page.WriteString("<html>")
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(page.Bytes()) })}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	defer func() { s.Close(); <-done; os.Remove(path) }()
	c, err := client.Dial("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Machines(t.Context()); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Errorf("another server: %v", err)
	}
}

// TestNotEvenHTTP: errors are about the endpoint, not about requests.
func TestNotEvenHTTP(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1024))
			_, _ = conn.Write([]byte("SSH-2.0-other\r\n\r\n"))
			conn.Close()
		}
	}()
	defer func() { l.Close(); <-done }()
	c, err := client.Dial("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Machines(t.Context())
	var unreachable *client.UnreachableError
	if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "http://fleettop") {
		t.Errorf("not HTTP: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if _, err = c.Machines(ctx); err == nil || strings.Contains(err.Error(), "context") || !strings.Contains(err.Error(), "--request-timeout") {
		t.Errorf("too late: %v", err)
	}
}
