package server_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/daemon/api/server"
	"fleettop/units"
)

// fakeHosts are hosts with one unit each.
type fakeHosts map[string]units.HostUnit

func (h fakeHosts) HostUnit(_ context.Context, machine, unit string) (units.HostUnit, error) {
	switch u, ok := h[machine]; {
	case ok && u.Name == unit:
		return u, nil
	case unit == "ssh.service":
		return units.HostUnit{}, fmt.Errorf("%w: ssh.service is the host's own", units.ErrNotAdoptable)
	}
	return units.HostUnit{}, fmt.Errorf("%s: %w", unit, units.ErrNotLoaded)
}

// withSystemd makes the machines of a cluster ones with a host.
func withSystemd(t *testing.T, c *apitest.Cluster, machines int) {
	t.Helper()
	for n := range machines {
		err := c.Store.UpdateMachine(t.Context(), apitest.Machine(n+1).ID, func(m *cluster.Machine) error { m.Manager = "systemd"; return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAdoptAndRelease(t *testing.T) {
	m2 := apitest.Machine(2)
	host := units.HostUnit{Name: "web.service", Path: "/etc/systemd/system/web.service", Content: service, Active: "active", PID: 7}
	c := apitest.Start(t, 3, func(cfg *server.Config) { cfg.Hosts = fakeHosts{m2.ID: host} })
	client := c.Client()
	adopt := func(verb api.Verb, f api.File, replace bool) *api.Error {
		t.Helper()
		reply, err := client.Act(t.Context(), api.ActionRequest{Verb: verb, Files: []api.File{f}, Replace: replace})
		if err != nil {
			e, _ := err.(*api.Error)
			return e
		}
		return reply.Results[0].Error
	}
	refused := func(what string, e *api.Error, sentence string) {
		t.Helper()
		if e == nil || !strings.Contains(e.Error(), sentence) {
			t.Errorf("%s: %v, want %q", what, e, sentence)
		}
	}
	file := api.File{Name: "web.service", Content: service, AdoptFrom: m2.ID}
	refused("without systemd", adopt(api.Start, file, false), "n2 runs units without systemd")
	withSystemd(t, c, 3)

	if u, err := client.HostUnit(t.Context(), "n2", "web.service"); err != nil || u != host {
		t.Errorf("the host's unit: %+v, %v", u, err)
	}
	for unit, sentence := range map[string]string{"none.service": "n2 has no unit none.service", "ssh.service": "is the host's own"} {
		if _, err := client.HostUnit(t.Context(), "n2", unit); err == nil || !strings.Contains(err.Error(), sentence) {
			t.Errorf("%s: %v, want %q", unit, err, sentence)
		}
	}
	refused("submitted", adopt(api.Submit, file, false), "submit adopts no unit")
	refused("replacing", adopt(api.Start, file, true), "start adopts no unit")
	refused("from nowhere", adopt(api.Start, api.File{Name: "web.service", Content: service, AdoptFrom: "abc"}, false), "machine abc not found")
	refused("global, from one", adopt(api.Start, api.File{Name: "web.service", Content: service + "[X-Fleet]\nGlobal=true\n", AdoptFrom: m2.ID}, false),
		"a global unit is adopted from *")
	refused("from all", adopt(api.Start, api.File{Name: "web.service", Content: service, AdoptFrom: "*"}, false), "can't be adopted from \"*\"")

	if e := adopt(api.Start, file, false); e != nil {
		t.Fatal(e)
	}
	until := func(what string, ok func(*cluster.Snapshot) bool) *cluster.Snapshot {
		t.Helper()
		for limit := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if snap := c.Mem.Snapshot(); ok(snap) {
				return snap
			}
			if time.Now().After(limit) {
				t.Fatalf("%s: not seen; %+v", what, c.Mem.Snapshot())
			}
		}
	}
	snap := until("taken over", func(s *cluster.Snapshot) bool { return s.Units["web.service"].Generation == 2 })
	if u := snap.Units["web.service"]; u.AdoptedFrom != "" || u.Desired != units.Launched {
		t.Errorf("adopted: %+v", u)
	}
	if _, there := snap.Assignments[cluster.UnitOnMachine{Machine: m2.ID, Unit: "web.service"}]; !there {
		t.Errorf("it is not where it ran: %+v", snap.Assignments)
	}
	refused("twice", adopt(api.Start, file, false), "the cluster's already")

	refused("of no unit", submit(t, client, api.Release, "none.service", "").Error, "none.service")
	submit(t, client, api.Submit, "idle.service", service)
	refused("of one on no machine", submit(t, client, api.Release, "idle.service", "").Error, "on no machine")
	c.Pause()
	if e := submit(t, client, api.Release, "web.service", "").Error; e != nil {
		t.Fatal(e)
	}
	refused("started while it is released", submit(t, client, api.Start, "web.service", "").Error, "is being released to its host")
	c.Resume()
	until("released", func(s *cluster.Snapshot) bool {
		_, known := s.Units["web.service"]
		return !known && len(s.Assignments) == 0
	})
	var texts []string
	events, err := client.Events(t.Context(), "1h", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		texts = append(texts, e.Text)
	}
	if all := strings.Join(texts, "\n"); !strings.Contains(all, "adopted web.service") || !strings.Contains(all, "released web.service") {
		t.Errorf("the timeline has:\n%s", all)
	}
}
