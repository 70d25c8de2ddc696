package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"fleettop/cluster"
	"fleettop/cmd/fleettop/internal/fromfleet"
	"fleettop/daemon/api/apitest"
	"fleettop/daemon/api/server"
	"fleettop/units"
)

// hostsOfUnits are hosts with units, by unit@machine.
type hostsOfUnits map[string]units.HostUnit

func (h hostsOfUnits) HostUnit(_ context.Context, machine, unit string) (units.HostUnit, error) {
	for n := range 3 {
		if u, ok := h[fmt.Sprintf("%s@n%d", unit, n+1)]; ok && apitest.Machine(n+1).ID == machine {
			u.Name = unit
			return u, nil
		}
	}
	return units.HostUnit{}, units.ErrNotLoaded
}

func TestAdoptAndRelease(t *testing.T) {
	runs := units.HostUnit{Path: "/etc/systemd/system/x.service", Content: service, Active: "active", Sub: "running", PID: 7}
	ended, other := runs, runs
	ended.Active, ended.Sub, other.Content = "inactive", "dead", service+"Nice=1\n"
	s := newShell(t, 3, func(c *server.Config) {
		c.Hosts = hostsOfUnits{"web.service@n2": runs, "web@1.service@n3": runs, "idle.service@n1": ended,
			"all.service@n1": runs, "all.service@n2": runs, "odd.service@n1": runs, "odd.service@n2": other}
	})
	for n := range 3 {
		if err := s.Store.UpdateMachine(t.Context(), apitest.Machine(n+1).ID, func(m *cluster.Machine) error { m.Manager = "systemd"; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	s.fails(1, "web.service can't be taken over: n1 has no unit web.service", "adopt", "web.service@n1")
	s.fails(1, "says of no machine to adopt it from: write web.service@MACHINE", "adopt", "web.service")
	s.fails(1, "idle.service does not run on n1 (inactive dead)", "adopt", "idle.service@n1")
	s.fails(1, "the option \"Conflicts\" is none", "adopt", "--option", "Conflicts", "web.service@n2")
	s.fails(1, "n1 and n2 have different files of it", "adopt", "--option", "Global=true", "odd.service@n1")
	s.wants(s.must("adopt", "--dry-run", "web.service@n2"), "web.service is taken over where it runs, on n2 (PID 7)")
	s.wants(s.must("adopt", "--option", "Conflicts=web@*.service", "web.service@n2", "web@1.service@n3"),
		"Unit web.service adopted, launched on 20000000.../198.18.1.2", "Unit web@1.service adopted, launched on 30000000.../198.18.1.3")
	s.wants(s.must("cat", "web.service"), "[X-Fleet]", "Conflicts=web@*.service")
	s.fails(1, "web.service is the cluster's already", "adopt", "web.service@n2")
	s.wants(s.must("adopt", "--option", "Global=true", "all.service@n1"), "all.service is taken over where it runs, and started on all other machines")

	s.file("web@1.service", s.must("cat", "web@1.service"))
	s.file("new.service", service)
	out := s.must("adopt", "--from-fleet=./web@1.service", "./new.service")
	s.wants(out, "web@1.service is in the cluster already", "new.service is submitted", "2 units: 2 done, 0 not.")
	var plan []fromfleet.Step
	if err := json.Unmarshal([]byte(s.must("adopt", "-o", "json", "--dry-run", "--from-fleet=./new.service")), &plan); err != nil || len(plan) != 1 {
		t.Errorf("the plan as JSON: %+v, %v", plan, err)
	}

	s.fails(1, "new.service is on no machine that it could be released to", "release", "new.service")
	s.wants(s.must("release", "web.service"), "Released web.service: it runs on under a file of its machine's own")
	if out := s.must("list-unit-files"); strings.Contains(out, "web.service ") {
		t.Errorf("the cluster has it still:\n%s", out)
	}
}
