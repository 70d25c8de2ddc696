package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"fleettop/daemon/api/client"
	"fleettop/daemon/api/fleetv1"
	"fleettop/units"
)

// fleetctl is a client of fleet's API, which does what the command of that name does.
type fleetctl struct {
	t      *testing.T
	socket string
}

// get reads what is at a path, or fails with the status of a refusal.
func (c fleetctl) get(path string, into any) int {
	c.t.Helper()
	resp, body := fleetDo(c.t, c.socket, "GET", "/fleet/v1"+path+"?alt=json", "")
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal([]byte(body), into); err != nil {
			c.t.Fatalf("GET %s: %v in %s", path, err, body)
		}
	}
	return resp.StatusCode
}

func (c fleetctl) unit(name string) (u fleetv1.Unit, known bool) {
	c.t.Helper()
	switch status := c.get("/units/"+strings.ReplaceAll(name, "@", "%40"), &u); status {
	case http.StatusOK:
		return u, true
	case http.StatusNotFound:
		return u, false
	default:
		c.t.Fatalf("%s is answered %d", name, status)
		return u, false
	}
}

// put sends a PUT of a unit and returns the status and the body.
func (c fleetctl) put(u fleetv1.Unit) (int, string) {
	c.t.Helper()
	raw, err := json.Marshal(u)
	if err != nil {
		c.t.Fatal(err)
	}
	path := "/fleet/v1/units/" + strings.ReplaceAll(u.Name, "@", "%40") + "?alt=json"
	resp, body := fleetDo(c.t, c.socket, "PUT", path, string(raw))
	return resp.StatusCode, body
}

// submit makes a unit known by its file, or an instance by its template's, and waits for that.
func (c fleetctl) submit(name, file string) {
	c.t.Helper()
	if _, known := c.unit(name); known {
		return
	}
	u := fleetv1.Unit{Name: name}
	if file == "" {
		n, err := units.ParseName(name)
		if err != nil {
			c.t.Fatal(err)
		}
		template, known := c.unit(n.Template())
		if !known {
			c.t.Fatalf("%s has no template", name)
		}
		u.Options = template.Options
	} else {
		parsed, err := units.ParseFile(file)
		if err != nil {
			c.t.Fatal(err)
		}
		u.Options = fleetv1.OptionsOf(parsed)
	}
	if status, body := c.put(u); status != http.StatusCreated {
		c.t.Fatalf("submit %s is answered %d %s", name, status, body)
	}
	c.await(name, units.Inactive)
}

// set asks for a desired state, and waits for what fleetctl waits for. It returns what is said
// then.
func (c fleetctl) set(name string, desired units.DesiredState) string {
	c.t.Helper()
	if status, body := c.put(fleetv1.Unit{Name: name, DesiredState: desired}); status != http.StatusNoContent {
		c.t.Fatalf("%s for %s is answered %d %s", desired, name, status, body)
	}
	u := c.await(name, desired)
	if desired == units.Inactive {
		return "Unit " + name + " inactive"
	}
	return "Unit " + name + " " + string(desired) + " on " + c.machine(u.MachineID)
}

// await polls until a unit's current state is the wanted one.
func (c fleetctl) await(name string, want units.DesiredState) fleetv1.Unit {
	c.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(fleetPoll) {
		u, known := c.unit(name)
		if known && u.CurrentState == want {
			return u
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s is %+v, and was to be %s", name, u, want)
		}
	}
}

// machine is how tables name a machine.
func (c fleetctl) machine(id string) string {
	c.t.Helper()
	var p fleetv1.MachinePage
	c.get("/machines", &p)
	for _, m := range p.Machines {
		if m.ID == id {
			return id[:8] + ".../" + m.PrimaryIP
		}
	}
	return "-"
}

func (c fleetctl) destroy(name string) int {
	c.t.Helper()
	resp, _ := fleetDo(c.t, c.socket, "DELETE", "/fleet/v1/units/"+strings.ReplaceAll(name, "@", "%40")+"?alt=json", "")
	return resp.StatusCode
}

// cat is a unit's file, as it is written from its options.
func (c fleetctl) cat(name string) string {
	c.t.Helper()
	u, known := c.unit(name)
	f, err := u.File()
	if !known || err != nil {
		c.t.Fatalf("cat %s: %v, %v", name, known, err)
	}
	return f.Content()
}

// listUnits has a line for each unit on a machine, listUnitFiles for each unit.
func (c fleetctl) listUnits() []string {
	c.t.Helper()
	var p fleetv1.UnitStatePage
	c.get("/state", &p)
	var rows []string
	for _, st := range p.States {
		rows = append(rows, fmt.Sprintf("%s %s %s %s", st.Name, c.machine(st.MachineID), st.SystemdActiveState,
			st.SystemdSubState))
	}
	return rows
}

func (c fleetctl) listUnitFiles() []string {
	c.t.Helper()
	var p fleetv1.UnitPage
	c.get("/units", &p)
	var rows []string
	for _, u := range p.Units {
		f, err := u.File()
		if err != nil {
			c.t.Fatal(err)
		}
		rows = append(rows, fmt.Sprintf("%s %.7s %s %s %s", u.Name, f.Hash(), u.DesiredState, u.CurrentState,
			c.machine(u.MachineID)))
	}
	return rows
}

func (c fleetctl) status(name string) string {
	c.t.Helper()
	var st fleetv1.UnitState
	c.get("/state/"+strings.ReplaceAll(name, "@", "%40"), &st)
	return st.SystemdLoadState + " " + st.SystemdActiveState + " " + st.SystemdSubState
}

// TestFleetClient does with fleet's API alone what fleetctl's verbs do.
func TestFleetClient(t *testing.T) {
	t.Parallel()
	machines := startFleet(t, fleetv1.Machine{ID: strings.Repeat("a", 32)}, fleetv1.Machine{ID: strings.Repeat("b", 32)},
		fleetv1.Machine{ID: strings.Repeat("c", 32)})
	c := fleetctl{t, machines[0].cfg.FleetSocket}
	const file = "[Unit]\nDescription=Hello\n\n[Service]\nExecStart=/bin/sleep \\\n  1000\n"
	is := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	c.submit("hello.service", file)
	is("cat", c.cat("hello.service"), file)
	is("list-unit-files", strings.Join(c.listUnitFiles(), "\n"), "hello.service 229170a inactive inactive -")
	is("load", c.set("hello.service", units.Loaded), "Unit hello.service loaded on "+c.placeOf("hello.service"))
	is("status when loaded", c.status("hello.service"), "loaded inactive dead")
	is("start", c.set("hello.service", units.Launched), "Unit hello.service launched on "+c.placeOf("hello.service"))
	is("list-units", strings.Join(c.listUnits(), "\n"), "hello.service "+c.placeOf("hello.service")+" active running")
	is("list-unit-files", strings.Join(c.listUnitFiles(), "\n"),
		"hello.service 229170a launched launched "+c.placeOf("hello.service"))
	is("status when launched", c.status("hello.service"), "loaded active running")
	is("stop", c.set("hello.service", units.Loaded), "Unit hello.service loaded on "+c.placeOf("hello.service"))
	is("status when stopped", c.status("hello.service"), "loaded inactive dead")
	c.set("hello.service", units.Launched)
	is("unload", c.set("hello.service", units.Inactive), "Unit hello.service inactive")
	is("list-units after unload", strings.Join(c.listUnits(), "\n"), "")
	is("status when unloaded", c.status("hello.service"), "  ")

	// A client that replaces a unit that runs waits until it is inactive, and starts it anew.
	c.set("hello.service", units.Launched)
	u, _ := c.unit("hello.service")
	u.Options[1].Value = "/bin/sleep 2000"
	if status, body := c.put(fleetv1.Unit{Name: u.Name, Options: u.Options}); status != http.StatusCreated {
		t.Errorf("replace is answered %d %s", status, body)
	}
	c.await("hello.service", units.Inactive)
	c.set("hello.service", units.Launched)
	is("cat after replace", c.cat("hello.service"), "[Unit]\nDescription=Hello\n\n[Service]\nExecStart=/bin/sleep 2000\n")

	// A template can't be started, and trying keeps no instance from it.
	c.submit("tpl@.service", file)
	for _, body := range []fleetv1.Unit{{Name: "tpl@.service", DesiredState: units.Launched},
		{Name: "new@.service", DesiredState: units.Loaded, Options: u.Options}} {
		status, answer := c.put(body)
		if status != http.StatusBadRequest || !strings.Contains(answer, "cannot activate template") {
			t.Errorf("%s is answered %d %s", body.Name, status, answer)
		}
	}
	for _, name := range []string{"tpl@1.service", "tpl@2.service", "tpl@3.service"} {
		c.submit(name, "")
		c.set(name, units.Launched)
		is("cat of an instance", c.cat(name), file)
	}
	on := map[string]bool{}
	for _, name := range []string{"tpl@1.service", "tpl@2.service", "tpl@3.service"} {
		on[c.placeOf(name)] = true
	}
	if len(on) != len(machines) {
		t.Errorf("the instances are on %v", on)
	}
	for _, name := range []string{"hello.service", "tpl@1.service", "tpl@2.service", "tpl@3.service", "tpl@.service"} {
		if status := c.destroy(name); status != http.StatusNoContent {
			t.Errorf("destroy %s is answered %d", name, status)
		}
		if status := c.destroy(name); status != http.StatusNotFound {
			t.Errorf("destroyed again, %s is answered %d", name, status)
		}
	}
	is("list-unit-files in the end", strings.Join(c.listUnitFiles(), "\n"), "")
	machines[0].until("no units on machines", func(context.Context, *client.Client) (bool, error) {
		return len(c.listUnits()) == 0, nil
	})
}

// placeOf is the machine that has a unit.
func (c fleetctl) placeOf(name string) string {
	c.t.Helper()
	u, _ := c.unit(name)
	return c.machine(u.MachineID)
}
