package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/daemon/api/client"
	"fleettop/daemon/api/server"
	"fleettop/units"
)

// gate is a store whose deletions can be held up, or fail after a while.
type gate struct {
	cluster.Store
	before func(n int) error // the n-th deletion, from 1 on
	n      atomic.Int32
}

func (g *gate) DeleteUnits(ctx context.Context, names []string) ([]error, error) {
	if err := g.before(int(g.n.Add(1))); err != nil {
		errs := make([]error, len(names))
		for i := range errs {
			errs[i] = err
		}
		return errs, err
	}
	return g.Store.DeleteUnits(ctx, names)
}

// submitted is a cluster that knows n units, behind a gate.
func submitted(t *testing.T, n int) (*apitest.Cluster, *gate, []string) {
	t.Helper()
	var g *gate
	c := apitest.Start(t, 1, func(cfg *server.Config) { g = &gate{Store: cfg.Store}; cfg.Store = g })
	req := api.ActionRequest{Verb: api.Submit}
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("u%05d.service", i))
		req.Files = append(req.Files, api.File{Name: names[i], Content: service})
	}
	if _, err := c.Client().Act(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	return c, g, names
}

// TestLongActsTakeAsLongAsTheyNeed: a daemon that says that it goes on isn't
// given up, however long the whole takes, and says how far it is.
func TestLongActsTakeAsLongAsTheyNeed(t *testing.T) {
	const silence = 2 * time.Second // a heartbeat comes every 0.2 s
	c, g, names := submitted(t, 2000)
	g.before = func(n int) error {
		if n == 3 {
			time.Sleep(2 * silence)
		}
		return nil
	}
	client := c.Client()
	var seen []api.Progress
	ended := 0
	client.FollowLong(silence, func(p *api.Progress) {
		if p == nil {
			ended++
			return
		}
		seen = append(seen, *p)
	})
	reply, err := client.Act(t.Context(), api.ActionRequest{Verb: api.Destroy, Units: names})
	if err != nil || len(reply.Results) != len(names) {
		t.Fatalf("destroy of %d: %v", len(names), err)
	}
	for _, r := range reply.Results {
		if r.Error != nil || !r.Changed {
			t.Fatalf("%+v", r)
		}
	}
	if len(seen) == 0 || seen[0].Done == 0 || seen[0].Total != len(names) || ended != 1 {
		t.Errorf("its progress was %+v, and its end told %d times", seen, ended)
	}
	if list, err := client.Units(t.Context(), false); err != nil || len(list.Units) != 0 {
		t.Errorf("%d units are left, %v", len(list.Units), err)
	}
}

// TestSilentDaemonIsGivenUp when it says nothing at all.
func TestSilentDaemonIsGivenUp(t *testing.T) {
	c, g, names := submitted(t, 10)
	release := make(chan struct{})
	defer close(release)
	g.before = func(int) error { <-release; return nil }
	client := c.Client()
	client.FollowLong(50*time.Millisecond, func(*api.Progress) {}) // less than a heartbeat
	_, err := client.Act(t.Context(), api.ActionRequest{Verb: api.Destroy, Units: names})
	if err == nil || !strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("a silent daemon: %v", err)
	}
}

// TestActThatBreaksOff says of each unit how it stands.
func TestActThatBreaksOff(t *testing.T) {
	c, g, names := submitted(t, 1200)
	g.before = func(n int) error {
		if n >= 2 {
			return cluster.ErrUnavailable
		}
		return nil
	}
	reply, err := c.Client().Act(t.Context(), api.ActionRequest{Verb: api.Destroy, Units: names})
	if err != nil {
		t.Fatal(err)
	}
	done, unknown, untouched := 0, 0, 0
	for _, r := range reply.Results {
		switch {
		case r.Error == nil && r.Changed:
			done++
		case strings.Contains(r.Error.Hint, "not known whether"):
			unknown++
		case strings.Contains(r.Error.Hint, "nothing was changed"):
			untouched++
		}
	}
	if done == 0 || unknown == 0 || untouched == 0 || done+unknown+untouched != len(names) {
		t.Errorf("%d done, %d not known, %d untouched, of %d", done, unknown, untouched, len(names))
	}
	if list, err := c.Client().Units(t.Context(), false); err != nil || len(list.Units) != len(names)-done {
		t.Errorf("%d units are left and %d were said to be destroyed: %v", len(list.Units), done, err)
	}
}

// unasked is a store that fails before it looks at what it was given.
type unasked struct{ cluster.Store }

func (unasked) DeleteUnits(context.Context, []string) ([]error, error) {
	return nil, cluster.ErrUnavailable
}

// TestStoreThatWasNotAsked has no error for each unit, and one for all.
func TestStoreThatWasNotAsked(t *testing.T) {
	client := apitest.Start(t, 1, func(cfg *server.Config) { cfg.Store = unasked{cfg.Store} }).Client()
	submit(t, client, api.Submit, "a.service", service)
	_, err := client.Act(t.Context(), api.ActionRequest{Verb: api.Destroy, Units: []string{"a.service"}})
	if e, ok := err.(*api.Error); !ok || e.Code != api.CodeUnavailable {
		t.Errorf("destroy: %v", err)
	}
}

// TestLongActWithoutLines: a client that doesn't ask for lines gets one answer.
func TestLongActWithoutLines(t *testing.T) {
	c, g, names := submitted(t, 1)
	g.before = func(int) error { time.Sleep(500 * time.Millisecond); return nil } // beyond a heartbeat
	status, body := send(t, c, http.MethodPost, "/v1/actions", "application/json", fmt.Sprintf(`{"verb":"destroy","units":[%q]}`, names[0]))
	if status != 200 || strings.Count(strings.TrimSpace(body), "\n") != 0 || !strings.Contains(body, `"changed":true`) {
		t.Errorf("%d %s", status, body)
	}
	if status, body = send(t, c, http.MethodPost, "/v1/actions", "application/json", `{"verb":"destroy","units":["none.service"]}`); status != 404 {
		t.Errorf("%d %s", status, body)
	}
}

// TestPlanDrain names what has no other place before anything is done.
func TestPlanDrain(t *testing.T) {
	c := apitest.Start(t, 3)
	client := c.Client()
	for name, more := range map[string]string{"here.service": "MachineMetadata=rack=2", "both.service": "MachineMetadata=rack=2\nMachineMetadata=rack=3",
		"free.service": "", "all.service": "Global=true", "off.service": "MachineMetadata=rack=2"} {
		submit(t, client, api.Start, name, service+"\n[X-Fleet]\n"+more+"\n")
	}
	submit(t, client, api.Unload, "off.service", "")
	apitest.Eventually(t, "all are placed", func() bool {
		snap := c.Mem.Snapshot()
		return len(snap.Assignments) == 6 && len(snap.Statuses) == 6
	})
	plan, err := client.PlanDrain(t.Context(), "n2")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, u := range plan.Stranded {
		if u.Reason == "" {
			t.Errorf("no reason for %s", u.Unit)
		}
		names = append(names, u.Unit)
	}
	if !reflect.DeepEqual(names, []string{"both.service", "here.service"}) && !reflect.DeepEqual(names, []string{"here.service"}) ||
		!reflect.DeepEqual(plan.Global, []string{"all.service"}) || len(plan.Machines) != 1 || plan.Machines[0].Name != "n2" {
		t.Errorf("draining n2: %+v", plan)
	}
	own, err := client.PlanDrain(t.Context())
	if err != nil || len(own.Machines) != 1 || own.Machines[0].Name != "n1" || len(own.Stranded) != 0 {
		t.Errorf("draining the daemon's own machine: %+v, %v", own, err)
	}
	every, err := client.PlanDrain(t.Context(), "n1", "n2", "n3", "n2")
	if err != nil || len(every.Machines) != 3 || len(every.Stranded) != 3 || every.Moves != 0 {
		t.Errorf("draining all: %+v, %v", every, err)
	}
	if _, err := client.PlanDrain(t.Context(), "n9"); err == nil {
		t.Error("a machine that isn't there can be drained")
	}
}

// TestDrainWaits until the units are elsewhere, says what it waits for, and
// says what became of them.
func TestDrainWaits(t *testing.T) {
	c := apitest.Start(t, 3)
	client := c.Client()
	submit(t, client, api.Start, "free.service", service+"\n[X-Fleet]\nMachineMetadata=rack=2\nMachineMetadata=rack=3\n")
	submit(t, client, api.Start, "here.service", service+"\n[X-Fleet]\nMachineMetadata=rack=2\n")
	submit(t, client, api.Start, "broken.service", service+"\n[X-Fleet]\nMachineOf=here.service\n")
	submit(t, client, api.Start, "all.service", service+"\n[X-Fleet]\nGlobal=true\n")
	apitest.Eventually(t, "all run", func() bool { return len(c.Mem.Snapshot().Statuses) == 6 })
	c.Pause()
	client.FollowLong(20*time.Second, func(p *api.Progress) {
		if p != nil && p.Text != "" {
			c.Resume() // it is known what it waits for: let it come
		}
	})
	reply, err := client.ScheduleAll(t.Context(), api.MachinesRequest{Verb: "drain", Machines: []string{"n2", "n9", "n3", "n2"}, Wait: true, Stop: true})
	if err != nil || len(reply.Machines) != 4 || reply.Machines[0].Moved == nil || reply.Machines[2].Moved == nil {
		t.Fatalf("drain: %+v, %v", reply, err)
	}
	if r := reply.Machines[1]; r.Error == nil || r.Error.Code != api.CodeNotFound || r.Machine != nil {
		t.Errorf("a machine that isn't there: %+v", r)
	}
	for _, i := range []int{0, 2} {
		if m := reply.Machines[i].Machine; m == nil || m.Schedule != cluster.Drained {
			t.Errorf("%+v", reply.Machines[i])
		}
	}
	nowhere := slices.Concat(reply.Machines[0].Moved.Nowhere, reply.Machines[2].Moved.Nowhere)
	slices.Sort(nowhere)
	if !reflect.DeepEqual(nowhere, []string{"broken.service", "free.service", "here.service"}) || reply.Machines[0].Moved.Units != 0 {
		t.Errorf("moved %+v, nowhere %v", reply.Machines[0].Moved, nowhere)
	}
	for k := range c.Mem.Snapshot().Statuses {
		if k.Machine != apitest.Machine(1).ID {
			t.Errorf("%s is still on %s", k.Unit, k.Machine)
		}
	}
	if reply, err := client.ScheduleAll(t.Context(), api.MachinesRequest{Verb: "uncordon", Machines: []string{"n2", "n3"}}); err != nil || !reply.Machines[0].Changed || reply.Machines[0].Moved != nil {
		t.Errorf("uncordon: %+v, %v", reply, err)
	}
	apitest.Eventually(t, "all are back", func() bool {
		u, err := client.Unit(t.Context(), "here.service")
		return err == nil && u.State == units.Launched && u.Placements[0].Machine == apitest.Machine(2).ID
	})
}

// TestDrainIsCalledOff by an uncordon meanwhile, and says so.
func TestDrainIsCalledOff(t *testing.T) {
	c := apitest.Start(t, 2)
	client := c.Client()
	submit(t, client, api.Start, "a.service", service+"\n[X-Fleet]\nMachineMetadata=rack=2\n")
	apitest.Eventually(t, "it runs", func() bool { return len(c.Mem.Snapshot().Statuses) == 1 })
	c.Pause()
	other := c.Client()
	var undo atomic.Bool
	client.FollowLong(20*time.Second, func(p *api.Progress) {
		if p != nil && p.Text != "" && undo.CompareAndSwap(false, true) {
			if _, err := other.Schedule(t.Context(), "n2", "uncordon"); err != nil {
				t.Error(err)
			}
		}
	})
	_, err := client.ScheduleAll(t.Context(), api.MachinesRequest{Verb: "drain", Machines: []string{"n2"}, Wait: true})
	if e, ok := err.(*api.Error); !ok || e.Code != api.CodeConflict || !strings.Contains(e.Message, "n2 takes units again") {
		t.Errorf("a drain that was called off: %v", err)
	}
}

// TestTruncatedLongAnswer is no success.
func TestTruncatedLongAnswer(t *testing.T) {
	for body, want := range map[string]error{
		`{"progress":{"done":1,"total":2}}` + "\n\n": io.ErrUnexpectedEOF,
		"": io.ErrUnexpectedEOF,
	} {
		cut := client.DialWith("test", answering(t, "application/x-ndjson", body))
		cut.FollowLong(20*time.Second, func(*api.Progress) {})
		_, err := cut.Leave(t.Context(), api.LeaveRequest{})
		if !errors.Is(err, want) {
			t.Errorf("%q: %v", body, err)
		}
		cut.Close()
	}
}

// answering is a daemon that answers anything with a body.
func answering(t *testing.T, contentType, body string) func(context.Context) (net.Conn, error) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", l.Addr().String())
	}
}
