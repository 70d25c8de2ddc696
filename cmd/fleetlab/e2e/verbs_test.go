//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"testing"

	"fleettop/cmd/fleetlab/lab"
)

// runs is where a unit runs, and as what.
type runs struct {
	machine *lab.Machine
	pid     string
	hash    string
}

// places are those of units that run, by the machines' own systemd.
func (f *fleet) places(names ...string) map[string]runs {
	f.t.Helper()
	var rows []struct{ Unit, Machine, Running, Hash string }
	f.must(json.Unmarshal([]byte(f.verb(f.machines[0], "-o", "json", "list-units")), &rows))
	found := map[string]runs{}
	for _, name := range names {
		for _, r := range rows {
			if r.Unit != name {
				continue
			}
			for _, m := range f.machines {
				if m.MachineID == r.Machine {
					p := runs{machine: m, pid: f.show(m, name, "MainPID"), hash: r.Hash}
					if r.Running != "" {
						p.hash = r.Running
					}
					found[name] = p
				}
			}
		}
		if found[name].pid == "" || found[name].pid == "0" {
			f.t.Fatalf("%s runs nowhere: %+v", name, rows)
		}
	}
	return found
}

// went ends the test where a verb failed, with what it said.
func (f *fleet) went(out, said string, err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatalf("%v\n%s%s", err, out, said)
	}
}

// TestVerbsSayWhatTheyDid changes a template under real instances, and asks
// the verbs what they did.
func TestVerbsSayWhatTheyDid(t *testing.T) {
	f := newFleet(t, 3, setup{})
	n1 := f.machines[0]
	names := []string{"web@1.service", "web@2.service", "web@3.service"}
	f.write(n1, map[string]string{"web@.service": sleeper("Environment=VERSION=1"), "own.service": sleeper()})
	f.verb(n1, "submit", "/root/web@.service")
	f.verb(n1, "start", names[0], names[1])
	first := f.places(names[:2]...)

	f.write(n1, map[string]string{"web@.service": sleeper("Environment=VERSION=2")})
	_, said := f.refusal(n1, "submit", "/root/web@.service")
	f.must(says(said, "already submitted with other content", "--replace"))
	out, said, err := f.try(n1, "submit", "--replace", "/root/web@.service")
	f.went(out, said, err)
	f.must(says(out, "Unit web@.service replaced"))
	f.must(says(said, "web@1.service, web@2.service keep the earlier content of web@.service"))
	f.verb(n1, "start", names[2])

	out, said, err = f.try(n1, "restart", "web@*")
	f.went(out, said, err)
	f.must(says(out, "web@1.service restarted on", "web@3.service restarted on"))
	f.must(says(said, "web@1.service, web@2.service keep their template's earlier content", "start --replace"))
	again := f.places(names...)
	for _, name := range names[:2] {
		if again[name].pid == first[name].pid || again[name].hash != first[name].hash {
			t.Errorf("%s was %+v and is %+v", name, first[name], again[name])
		}
	}
	if again[names[2]].hash == first[names[0]].hash {
		t.Error("the new instance has the earlier content")
	}
	f.must(says(f.verb(n1, "status", names[0]), "Template: it follows "))

	out = f.verb(n1, "start", "--replace", names[0], names[1], names[2])
	f.must(says(out, "web@1.service replaced, launched on", "web@2.service replaced, launched on",
		"Unit web@3.service launched on"))
	now := f.places(names...)
	for _, name := range names {
		if now[name].hash != again[names[2]].hash {
			t.Errorf("%s has not taken the new content: %+v", name, now[name])
		}
		if environment := f.show(now[name].machine, name, "Environment"); environment != "VERSION=2" {
			t.Errorf("%s runs with %s", name, environment)
		}
		if moved := now[name].machine != again[name].machine; moved ||
			(now[name].pid == again[name].pid) != (name == names[2]) {
			t.Errorf("%s was %+v and is %+v", name, again[name], now[name])
		}
	}

	// A file of its own that runs: submit says what became of it.
	f.verb(n1, "start", "/root/own.service")
	before := f.places("own.service")["own.service"]
	f.write(n1, map[string]string{"own.service": sleeper("Environment=VERSION=2")})
	f.must(says(f.verb(n1, "submit", "--replace", "/root/own.service"),
		"Unit own.service replaced, restarted on "+before.machine.MachineID[:8]))
	if after := f.places("own.service")["own.service"]; after.pid == before.pid || after.machine != before.machine {
		t.Errorf("own.service was %+v and is %+v", before, after)
	}

	// A name alone is a unit; what can't be written is an error; signals have their codes.
	f.write(n1, map[string]string{"own.service": sleeper("Environment=VERSION=3")})
	f.must(says(f.on(n1, "sh", "-c", "cd /root && fleettop start own 2>&1"),
		"own.service is the one submitted, and not the file here"))
	for line, code := range map[string]int{
		"fleettop list-units >/dev/full":            1,
		"fleettop -o json list-machines >/dev/full": 1,
		"fleettop stop own.service >/dev/full":      1,
		"fleettop events -f >/tmp/events & p=$!; until [ -s /tmp/events ]; do sleep 0.1; done; kill $p; wait $p": 143,
	} {
		if got := f.on(n1, "sh", "-c", "("+line+") 2>/dev/null; echo $?"); got != fmt.Sprint(code) {
			t.Errorf("%s: exit %s, want %d", line, got, code)
		}
	}
}
