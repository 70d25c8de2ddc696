//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"fleettop/cmd/fleetlab/lab"
	"fleettop/daemon/api/fleetv1"
	"fleettop/units"
)

// TestFleetSocket: the service as it is installed listens where fleet's clients look, for the
// same people as on its own socket, and a unit that comes that way runs under systemd.
func TestFleetSocket(t *testing.T) {
	const socket = "/run/fleet.sock"
	f := newFleet(t, 3, setup{options: func(*lab.Machine) string { return "--fleet-socket=" + socket }})
	m := f.machines[1]
	permissions := func(path string) string { return f.on(m, "stat", "--format=%F %a %U %G", path) }
	if got, want := permissions(socket), permissions("/run/fleettop/fleettop.sock"); got != want {
		t.Errorf("%s is %s, and the other socket %s", socket, got, want)
	}
	put := func(body string) {
		t.Helper()
		resp, err := f.fleetAPI(m, socket).Do(f.request("PUT", "/fleet/v1/units/hello.service", body))
		f.must(err)
		f.must(resp.Body.Close())
		if resp.StatusCode/100 != 2 {
			t.Fatalf("%s is answered %s", body, resp.Status)
		}
	}
	put(`{"name":"hello.service","options":[{"section":"Service","name":"ExecStart","value":"/usr/bin/sleep infinity"}]}`)
	put(`{"desiredState":"launched"}`)
	f.runs(m, socket)
	pid := f.on(f.machineOf(m, socket), "systemctl", "show", "--property=MainPID", "hello.service")

	f.on(m, "systemctl", "restart", lab.UnitName)
	f.settled(f.machines...)
	f.runs(m, socket)
	if now := f.on(f.machineOf(m, socket), "systemctl", "show", "--property=MainPID", "hello.service"); now != pid {
		t.Errorf("%s became %s", pid, now)
	}
}

// fleetAPI returns a client of a socket on a machine, for this boot of the machine.
func (f *fleet) fleetAPI(m *lab.Machine, socket string) *http.Client {
	f.t.Helper()
	path, err := m.HostPath(socket)
	f.must(err)
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}}}
}

func (f *fleet) request(method, path, body string) *http.Request {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.ctx, method, "http://fleet"+path, strings.NewReader(body))
	f.must(err)
	r.Header.Set("Content-Type", "application/json")
	return r
}

// fleetUnit is the one unit that there is, by fleet's API.
func (f *fleet) fleetUnit(m *lab.Machine, socket string) (fleetv1.Unit, error) {
	f.t.Helper()
	path, err := m.HostPath(socket)
	f.must(err)
	c, err := fleetv1.Dial("unix://" + path)
	f.must(err)
	defer c.Close()
	list, err := c.Units(f.ctx)
	if err != nil || len(list) != 1 {
		return fleetv1.Unit{}, fmt.Errorf("%d units: %w", len(list), err)
	}
	return list[0], nil
}

// runs waits until the unit runs, by fleet's API.
func (f *fleet) runs(m *lab.Machine, socket string) {
	f.t.Helper()
	f.eventually("the unit to run", soon, func() error {
		u, err := f.fleetUnit(m, socket)
		if err == nil && u.CurrentState != units.Launched {
			err = fmt.Errorf("it is %s", u.CurrentState)
		}
		return err
	})
}

// machineOf is the machine that has the unit, by fleet's API.
func (f *fleet) machineOf(m *lab.Machine, socket string) *lab.Machine {
	f.t.Helper()
	u, err := f.fleetUnit(m, socket)
	f.must(err)
	for _, each := range f.machines {
		if each.MachineID == u.MachineID {
			return each
		}
	}
	f.t.Fatalf("no machine is %q", u.MachineID)
	return nil
}
