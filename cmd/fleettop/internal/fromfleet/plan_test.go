package fromfleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/fleetv1"
	"fleettop/units"
)

// Machines of the recorded fleet.
const (
	n2 = "1670f71251054b579d1e1342136db198"
	n1 = "69ad478874404aaab0482c952198c54b"
	n3 = "b0b85366604140a7909a457d8d5b1333"
)

// recorded serves what fleetd 1.0 answered at different moments; the units come in two pages.
func recorded(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/exchanges.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string][]string{}
	for line := range bytes.Lines(raw) {
		var e struct{ Path, Body string }
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		answers[e.Path] = append(answers[e.Path], e.Body)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages := answers[r.URL.Path]
		if len(pages) == 0 {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		switch {
		case len(pages) == 1:
			fmt.Fprint(w, pages[0])
		case r.URL.Query().Get("nextPageToken") == "":
			fmt.Fprint(w, strings.TrimSuffix(pages[0], "}")+`,"nextPageToken":"ZAACAA=="}`)
		default:
			fmt.Fprint(w, pages[1])
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func machine(id, name string, state cluster.HealthState) api.MachineInfo {
	return api.MachineInfo{Machine: api.Machine{Machine: cluster.Machine{ID: id, Name: name}, Health: cluster.Health{State: state}}}
}

// hosts gives each machine the units that fleet has there, in a state.
func hosts(f Fleet, state func(unit, machine string) (active string, pid int)) func(string, string) (units.HostUnit, error) {
	return func(machine, unit string) (units.HostUnit, error) {
		for _, u := range f.Units {
			active, pid := state(unit, machine)
			if u.Name != unit || active == "" {
				continue
			}
			file, err := u.File()
			return units.HostUnit{Name: unit, Path: "/run/fleet/units/" + unit, Content: file.Content(), Active: active, Sub: "x", PID: pid}, err
		}
		return units.HostUnit{}, api.Refuse(api.CodeNotFound, "", "%s has no unit %s", machine, unit)
	}
}

func TestPlanOfARecordedFleet(t *testing.T) {
	f, err := Read(t.Context(), recorded(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Units) != 3 || len(f.States) != 1 || len(f.Machines) != 3 {
		t.Fatalf("read: %+v", f)
	}
	add := func(name string, desired units.DesiredState, at string, options ...string) {
		u := fleetv1.Unit{Name: name, DesiredState: desired, MachineID: at, Options: []fleetv1.Option{{Section: "Service", Name: "ExecStart", Value: "/bin/x"}}}
		for _, o := range options {
			k, v, _ := strings.Cut(o, "=")
			u.Options = append(u.Options, fleetv1.Option{Section: "X-Fleet", Name: k, Value: v})
		}
		f.Units = append(f.Units, u)
	}
	add("all.service", units.Launched, "", "Global=true")
	f.States = append(f.States, fleetv1.UnitState{Name: "all.service", MachineID: n1}, fleetv1.UnitState{Name: "all.service", MachineID: n2})
	add("ended.service", units.Launched, n1)
	add("loaded.service", units.Loaded, n1)
	add("waiting.service", units.Launched, "")
	add("away.service", units.Launched, "ffffffffffffffffffffffffffffffff")
	add("down.service", units.Launched, n3)
	add("lost.service", units.Launched, n1)
	add("other.service", units.Launched, n1)
	add("known.service", units.Launched, n1)
	known, err := f.Units[len(f.Units)-1].File()
	if err != nil {
		t.Fatal(err)
	}
	read := hosts(f, func(unit, machine string) (string, int) {
		switch unit {
		case "lost.service":
			return "", 0
		case "ended.service", "loaded.service":
			return "inactive", 0
		case "all.service":
			if machine == n2 {
				return "failed", 0
			}
		}
		return "active", 42
	})
	c := Cluster{Machines: []api.MachineInfo{machine(n1, "n1", cluster.Up), machine(n2, "n2", cluster.Up), machine(n3, "n3", cluster.Failed)},
		Hashes: map[string]string{"known.service": known.Hash()},
		HostUnit: func(m, unit string) (units.HostUnit, error) {
			u, err := read(m, unit)
			if unit == "other.service" {
				u.Content += "Nice=5\n"
			}
			return u, err
		}}
	want := map[string]string{
		"trace.service":   "start " + n2 + " is taken over where it runs, on n2 (PID 42)",
		"tt@1.service":    "start " + n2 + " is taken over where it runs, on n2 (PID 42)",
		"tt@.service":     "submit  is submitted; nothing of it is on a machine",
		"all.service":     "start * is taken over where it runs, on n1; it is started on n2, where it does not run",
		"ended.service":   "load " + n1 + " does not run on n1 (inactive x): it is taken over as loaded, and `fleettop start ended.service` starts it",
		"loaded.service":  "load " + n1 + " is taken over as loaded, on n1",
		"waiting.service": "start  had no machine; it is given to one that can take it",
		"away.service":    "refused: away.service is on the machine ffffffff, which is not in this cluster: run a fleettop daemon there that joins the cluster, and adopt again",
		"down.service":    "refused: down.service is on n3, which is failed: adopt again when it is up",
		"lost.service":    "refused: " + n1 + " has no unit lost.service",
		"other.service": "refused: other.service has another file on n1 (/run/fleet/units/other.service) than the one to be adopted: " +
			"see which one is right, and adopt it by `fleettop adopt other.service@n1`",
		"known.service": "  is in the cluster already",
	}
	for _, s := range Plan(f, c) {
		got := string(s.Verb) + " " + s.File.AdoptFrom + " " + s.Text
		if s.Error != nil {
			got = "refused: " + s.Text
		}
		if got != want[s.Unit] {
			t.Errorf("%s:\n%s\nwant\n%s", s.Unit, got, want[s.Unit])
		}
		if s.File.Template != (s.Unit == "tt@1.service") {
			t.Errorf("%s has its template's content: %v", s.Unit, s.File.Template)
		}
		delete(want, s.Unit)
	}
	if len(want) > 0 {
		t.Errorf("not planned: %v", want)
	}
}

func TestOfFiles(t *testing.T) {
	const content = "[Service]\nExecStart=/bin/x\n"
	run := map[string]string{"a.service": n1, "twice.service": "*"}
	c := Cluster{Machines: []api.MachineInfo{machine(n1, "n1", cluster.Up), machine(n2, "n2", cluster.Up)},
		HostUnit: func(m, unit string) (units.HostUnit, error) {
			if at := run[unit]; at == m || at == "*" {
				return units.HostUnit{Name: unit, Content: content, Active: "active", PID: 1}, nil
			}
			return units.HostUnit{}, api.Refuse(api.CodeNotFound, "", "none")
		}}
	f, err := OfFiles([]api.File{{Name: "a.service", Content: content}, {Name: "b.service", Content: content}, {Name: "t@.service", Content: content}}, c)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []fleetv1.Unit{{DesiredState: units.Launched, MachineID: n1}, {DesiredState: units.Inactive}, {DesiredState: units.Inactive}} {
		if u := f.Units[i]; u.DesiredState != want.DesiredState || u.MachineID != want.MachineID {
			t.Errorf("%+v, want %+v", u, want)
		}
	}
	if _, err := OfFiles([]api.File{{Name: "twice.service", Content: content}}, c); err == nil || !strings.Contains(err.Error(), "is on n1 and n2") {
		t.Errorf("on two machines: %v", err)
	}
}
