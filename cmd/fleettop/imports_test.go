package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// forbidden says what a package, or any below it, may never import, directly
// or through others. It is the map in CONTRIBUTING.md as rules.
var forbidden = []struct{ pkg, imports, why string }{
	{"fleettop/units", "fleettop/cluster", "units knows no network"},
	{"fleettop/units", "fleettop/daemon", "units knows no daemon"},
	{"fleettop/units", "go.etcd.io/", "units knows no store"},
	{"fleettop/cluster", "fleettop/daemon", "cluster is below daemon"},
	{"fleettop/cluster", "fleettop/units/systemd", "cluster knows no systemd"},
	{"fleettop/cluster", "fleettop/units/process", "cluster starts no processes"},
	{"fleettop/cluster/schedule", "net", "schedule is pure"},
	{"fleettop/cluster/schedule", "go.etcd.io/", "schedule is pure"},
	{"fleettop/cluster/etcdstore", "github.com/hashicorp/", "the store knows no serf"},
	{"fleettop/cluster/etcdserver", "fleettop/units", "the embedded etcd knows no units"},
	{"fleettop/cluster/membership", "go.etcd.io/", "membership knows no etcd"},
	{"fleettop/cluster/election", "fleettop/cluster/schedule", "an election schedules nothing"},
	{"fleettop/journal", "fleettop/cluster", "journal knows no cluster"},
	{"fleettop/journal", "fleettop/daemon", "journal is below daemon"},
	{"fleettop/journal", "github.com/charmbracelet/", "journal knows no screen"},
	{"fleettop/daemon/agent", "fleettop/cluster/schedule", "the agent doesn't schedule"},
	{"fleettop/daemon/engine", "fleettop/units/systemd", "the engine runs no units"},
	{"fleettop/daemon/api", "fleettop/units/systemd", "the API runs no units"},
	{"fleettop/daemon", "fleettop/cmd", "cmd is the top"},
	{"fleettop/daemon", "fleettop/tui", "the daemon has no face: cmd gives it one"},
	{"fleettop/daemon/sshd", "fleettop/cluster/etcdstore", "the SSH server knows only the API"},
	{"fleettop/tui", "go.etcd.io/", "the console knows only the API's client"},
	{"fleettop/tui", "github.com/hashicorp/", "the console knows only the API's client"},
	{"fleettop/tui", "fleettop/units/systemd", "the console runs no units"},
	{"fleettop/tui", "fleettop/daemon/engine", "the console decides nothing"},
	{"fleettop/tui", "fleettop/cmd", "cmd is the top"},
	{"fleettop/tui/state", "github.com/charmbracelet/bubbletea", "the state knows no terminal"},
	{"fleettop/tui/feed", "github.com/charmbracelet/bubbletea", "the feed knows no terminal"},
	{"fleettop/daemon/api", "fleettop/tui", "the API has no face"},
}

// primitives are leaves that every package may use, whatever the rules say of
// the folder they are in.
var primitives = []string{
	"fleettop/units/atomicfile",
	"fleettop/units/broadcast",
	"fleettop/units/diskfault",
	"fleettop/units/retry",
	"fleettop/units/safefile",
	"fleettop/units/timespan",
	"fleettop/units/wording",
}

func TestImportsGoOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-e", "-f", `{{.ImportPath}}{{range .Deps}} {{.}}{{end}}`, "fleettop/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		deps[words[0]] = words[1:]
	}
	for _, rule := range forbidden {
		if len(deps[rule.pkg]) == 0 {
			t.Errorf("the rules name %s, and there is no such package", rule.pkg)
		}
		for pkg, list := range deps {
			if pkg != rule.pkg && !strings.HasPrefix(pkg, rule.pkg+"/") {
				continue
			}
			i := slices.IndexFunc(list, func(dep string) bool {
				return !slices.Contains(primitives, dep) && (dep == rule.imports || strings.HasPrefix(dep, strings.TrimSuffix(rule.imports, "/")+"/"))
			})
			if i >= 0 {
				t.Errorf("%s imports %s: %s", pkg, list[i], rule.why)
			}
		}
	}
}
