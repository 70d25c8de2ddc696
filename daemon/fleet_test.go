package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/api/fleetv1"
	"fleettop/units"
)

// fleetPoll is how often a client of fleet looks.
const fleetPoll = 250 * time.Millisecond

// startFleet starts machines, of which the first listens where fleet's clients look. They
// have the IDs and the metadata of those given.
func startFleet(t *testing.T, as ...fleetv1.Machine) []*machine {
	t.Helper()
	var list []*machine
	for i, each := range as {
		m := newMachine(t, i+1, list[:min(i, 1)]...)
		m.cfg.MachineID, m.cfg.Metadata = each.ID, each.Metadata
		list = append(list, m)
	}
	m1 := list[0]
	m1.cfg.FleetSocket = filepath.Join(filepath.Dir(m1.cfg.RunDir), "fleet.sock")
	for _, m := range list {
		m.start()
	}
	m1.untilVoting(len(as))
	t.Cleanup(func() { // before the machines end: what runs is nobody's then
		if m1.stop == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		list, err := m1.client().Units(ctx, false)
		if err != nil {
			t.Error(err)
			return
		}
		for _, u := range list.Units {
			if u.Desired != units.Inactive {
				m1.act(api.Unload, api.ActionRequest{Units: []string{u.Name}})
			}
		}
		m1.until("the end of all units", func(ctx context.Context, c *client.Client) (bool, error) {
			list, err := c.Units(ctx, true)
			return err == nil && len(list.Units) == 0, err
		})
	})
	return list
}

// fleetDo sends a request to a machine's socket for fleet's clients.
func fleetDo(t *testing.T, socket, method, path, body string) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	req, err := http.NewRequestWithContext(ctx, method, "http://domain-sock"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(raw)
}

// exchange is a request of fleetctl 1.0 and the answer of fleetd 1.0, as recorded in a cluster of
// three machines.
type exchange struct {
	Method, Path, Body string
	Status             int
	Header             map[string]string
	Answer             string
}

func recordedExchanges(t *testing.T) []exchange {
	t.Helper()
	f, err := os.Open("testdata/fleetctl.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []exchange
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var e exchange
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	if len(list) != 97 || lines.Err() != nil {
		t.Fatalf("%d exchanges, %v", len(list), lines.Err())
	}
	return list
}

var (
	// What is another in every cluster: which of its machines has a unit, and their addresses.
	anyMachine = regexp.MustCompile(`"machineID":"(1670f71251054b579d1e1342136db198|69ad478874404aaab0482c952198c54b|b0b85366604140a7909a457d8d5b1333)"`)
	anyAddress = regexp.MustCompile(`"primaryIP":"[0-9.]+"`)
	// What was left over in the recorded cluster from before: a unit that was destroyed, and still
	// on a machine.
	leftOver = regexp.MustCompile(`^\{"states":\[\{[^}]*"name":"svc3\.service"[^}]*\}\]\}$`)
	// What changes while a client polls.
	progress = regexp.MustCompile(`"currentState":"(inactive|loaded|launched)",|"machineID":"M",|"systemd(Active|Sub)State":"[a-z-]+",?`)
)

func withoutMachines(answer string) string {
	answer = leftOver.ReplaceAllString(answer, "{}")
	return anyAddress.ReplaceAllString(anyMachine.ReplaceAllString(answer, `"machineID":"M"`), `"primaryIP":"A"`)
}

// TestRecordedExchanges replays what fleetctl asked of fleetd, and expects the same answers, byte
// by byte but for the machines. fleetctl polls: of requests that repeat each other the last
// answer is waited for, and those before it may differ in how far the unit is.
func TestRecordedExchanges(t *testing.T) {
	t.Parallel()
	list := recordedExchanges(t)
	var recorded fleetv1.MachinePage
	if err := json.Unmarshal([]byte(list[0].Answer), &recorded); err != nil || len(recorded.Machines) != 3 {
		t.Fatalf("%v in %s", err, list[0].Answer)
	}
	socket := startFleet(t, recorded.Machines...)[0].cfg.FleetSocket
	for i := 0; i < len(list); {
		first, last := i, i
		for last+1 < len(list) && list[first].Method == "GET" && list[last+1].Method == "GET" && list[last+1].Path == list[first].Path {
			last++
		}
		i = last + 1
		want := list[last]
		deadline := time.Now().Add(patience)
		for {
			resp, body := fleetDo(t, socket, want.Method, want.Path, want.Body)
			what := fmt.Sprintf("%d: %s %s %s", last+1, want.Method, want.Path, want.Body)
			if resp.StatusCode != want.Status {
				t.Fatalf("%s is answered %d %s, want %d %s", what, resp.StatusCode, body, want.Status, want.Answer)
			}
			for name, value := range want.Header {
				if got := resp.Header.Get(name); got != value && (name != "Content-Length" || value == "0") {
					t.Errorf("%s: %s is %q, want %q", what, name, got, value)
				}
			}
			if server := resp.Header.Get("Server"); !strings.HasPrefix(server, "fleetd/1.0.0") {
				t.Errorf("%s: the server is %q", what, server)
			}
			got, wanted := withoutMachines(body), withoutMachines(want.Answer)
			if got == wanted {
				break
			}
			if want.Method != "GET" || progress.ReplaceAllString(got, "") != progress.ReplaceAllString(wanted, "") ||
				time.Now().After(deadline) {
				t.Fatalf("%s is answered\n%s, want\n%s", what, got, wanted)
			}
			time.Sleep(fleetPoll / 10) // as the client polls
		}
	}
}

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
	resp, body := fleetDo(c.t, c.socket, "PUT", "/fleet/v1/units/"+strings.ReplaceAll(u.Name, "@", "%40")+"?alt=json", string(raw))
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
		rows = append(rows, fmt.Sprintf("%s %s %s %s", st.Name, c.machine(st.MachineID), st.SystemdActiveState, st.SystemdSubState))
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
		rows = append(rows, fmt.Sprintf("%s %.7s %s %s %s", u.Name, f.Hash(), u.DesiredState, u.CurrentState, c.machine(u.MachineID)))
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
		if status, answer := c.put(body); status != http.StatusBadRequest || !strings.Contains(answer, "cannot activate template") {
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

// TestPatchedMetadataStays: what fleet's API changes in a machine's metadata outlives its daemon,
// and also its leaving and joining again.
func TestPatchedMetadataStays(t *testing.T) {
	t.Parallel()
	machines := startFleet(t,
		fleetv1.Machine{ID: strings.Repeat("a", 32), Metadata: map[string]string{"rack": "1"}},
		fleetv1.Machine{ID: strings.Repeat("b", 32), Metadata: map[string]string{"rack": "2"}},
		fleetv1.Machine{ID: strings.Repeat("c", 32), Metadata: map[string]string{"rack": "3", "old": "yes"}})
	m1, m3 := machines[0], machines[2]
	socket := m1.cfg.FleetSocket
	path := "/" + m3.cfg.MachineID + "/metadata/"
	patch := `[{"op":"add","path":"` + path + `disk","value":"ssd"},{"op":"remove","path":"` + path + `old"}]`
	if resp, body := fleetDo(t, socket, "PATCH", "/fleet/v1/machines?alt=json", patch); resp.StatusCode != http.StatusNoContent {
		t.Fatalf("answered %d %s", resp.StatusCode, body)
	}
	want := map[string]string{"rack": "3", "disk": "ssd"}
	listed := func() map[string]string {
		var p fleetv1.MachinePage
		fleetctl{t, socket}.get("/machines", &p)
		for _, m := range p.Machines {
			if m.ID == m3.cfg.MachineID {
				return m.Metadata
			}
		}
		return nil
	}
	if got := listed(); !maps.Equal(got, want) {
		t.Errorf("patched: %v", got)
	}
	m3.halt()
	m3.start()
	m3.untilVoting(3)
	if got := listed(); !maps.Equal(got, want) {
		t.Errorf("after a restart of the daemon: %v", got)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ring := m1.ring()
	if _, err := m3.client().Leave(ctx); err != nil {
		t.Fatal(err)
	}
	<-m3.done
	m3.stop = nil
	if err := os.RemoveAll(m3.cfg.StateDir); err != nil {
		t.Fatal(err)
	}
	if err := ring.Save(m3.cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	m3.start()
	m1.untilVoting(3)
	if got := listed(); !maps.Equal(got, want) {
		t.Errorf("after leaving and joining again: %v", got)
	}
}
