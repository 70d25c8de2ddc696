package cli

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
	{"fleettop/daemon/api/client", "fleettop/daemon/api/server", "the client knows only the wire"},
	{"fleettop/daemon/api/client", "fleettop/daemon/view", "the client knows only the wire"},
	{"fleettop/daemon/api/client", "fleettop/cluster/schedule", "the client knows only the wire"},
	{"fleettop/daemon/api/client", "github.com/prometheus/", "the client measures nothing"},
	{"fleettop/daemon/api/server", "fleettop/daemon/api/client", "the server asks no other daemon"},
	{"fleettop/daemon/api/fleetv1", "fleettop/daemon", "fleet's wire knows only what it carries"},
	{"fleettop/daemon/peers", "fleettop/daemon/api/server", "daemons are each other's clients"},
	{"fleettop/daemon/logs", "fleettop/daemon/api/server", "the server uses the logs, not they it"},
	{"fleettop/daemon/logs/stitch", "net", "the stitcher is pure"},
	{"fleettop/daemon/logs/stitch", "fleettop/daemon/view", "the stitcher is pure"},
	{"fleettop/daemon/trust", "fleettop/daemon/api/server", "trust knows the API's types, and not who serves it"},
	{"fleettop/daemon/stats", "fleettop/daemon/api/server", "the server uses the figures, not they it"},
	{"fleettop/daemon", "fleettop/cmd", "cmd is the top"},
	{"fleettop/daemon", "fleettop/tui", "the daemon has no face: cmd gives it one"},
	{"fleettop/daemon/sshd", "fleettop/cluster/etcdstore", "the SSH server knows only the API"},
	{"fleettop/tui", "go.etcd.io/", "the console knows only the API's client"},
	{"fleettop/tui", "github.com/hashicorp/", "the console knows only the API's client"},
	{"fleettop/tui", "fleettop/units/systemd", "the console runs no units"},
	{"fleettop/tui", "fleettop/daemon/api/server", "the console knows only the API's client"},
	{"fleettop/tui", "fleettop/daemon/engine", "the console decides nothing"},
	{"fleettop/tui", "fleettop/cluster/schedule", "the console decides nothing"},
	{"fleettop/tui", "fleettop/cmd", "cmd is the top"},
	{"fleettop/tui/state", "github.com/charmbracelet/bubbletea", "the state knows no terminal"},
	{"fleettop/tui/feed", "github.com/charmbracelet/bubbletea", "the feed knows no terminal"},
	{"fleettop/daemon/api", "fleettop/tui", "the API has no face"},
	{"fleettop/cmd/fleettop/internal/print", "fleettop/daemon/api/client", "printing asks no daemon"},
	{"fleettop/cmd/fleettop/internal/print", "github.com/spf13/cobra", "printing knows no flags"},
	{"fleettop/cmd/fleettop/internal/unitfiles", "fleettop/daemon/api/client",
		"files and names are found without a daemon"},
	{"fleettop/cmd/fleettop/internal/wait", "github.com/spf13/cobra", "waiting knows no flags"},
	{"fleettop/cmd/fleettop/internal/wait", "go.etcd.io/", "waiting knows only the API's client"},
	{"fleettop/cmd/fleettop/internal/sshdial", "net/http", "a connection knows nothing of what is said over it"},
	{"fleettop/cmd/fleettop/internal/sshdial", "fleettop/daemon", "a connection knows nothing of what is said over it"},
}

// direct are rules on what a package, or any below it, imports itself: it may
// link the rest through what it starts.
var direct = []struct{ pkg, imports, why string }{
	{"fleettop/cmd", "fleettop/daemon/api/server", "only the daemon serves the API"},
	{"fleettop/cmd", "fleettop/daemon/view", "cmd knows only the API's client"},
	{"fleettop/cmd", "fleettop/cluster/schedule", "cmd decides nothing"},
	{"fleettop/daemon/logs/stitch", "context", "the stitcher is pure"},
	{"fleettop/daemon/logs/stitch", "sync", "the stitcher is pure"},
}

// rooms are the jobs that the daemon wires together. None imports the daemon, nor
// another room: what one needs of another it says in an interface.
var rooms = []string{
	"fleettop/daemon/agent", "fleettop/daemon/connectivity", "fleettop/daemon/engine", "fleettop/daemon/etcdnode", "fleettop/daemon/leadership",
	"fleettop/daemon/listen", "fleettop/daemon/logs", "fleettop/daemon/presence", "fleettop/daemon/sshd",
	"fleettop/daemon/stats", "fleettop/daemon/trust",
}

// only are packages that no package imports but these.
var only = []struct {
	imports string
	by      []string
	why     string
}{
	{"fleettop/cluster/etcdserver", []string{"fleettop/daemon/etcdnode", "fleettop/daemon", "fleettop/cmd/fleettop/internal/cli"},
		"the etcd server is etcdnode's (the daemon recovers its data, the command line knows its errors)"},
	{"fleettop/cluster/etcdstore", []string{"fleettop/daemon", "fleettop/daemon/etcdnode"},
		"the rest knows the store's contract"},
	{"fleettop/cluster/election", []string{"fleettop/daemon/leadership"}, "leadership campaigns"},
}

// wire is the package of what is said over the API, and wireImports all that it
// imports besides the standard library.
const wire = "fleettop/daemon/api"

var wireImports = []string{"fleettop/cluster", "fleettop/cluster/history", "fleettop/units"}

// program is main, and programImports all that it imports.
const program = "fleettop/cmd/fleettop"

var programImports = []string{"fleettop/cmd/fleettop/internal/cli", "os"}

// primitives are leaves that every package may use, whatever the rules say of
// the folder they are in.
var primitives = []string{
	"fleettop/units/atomicfile",
	"fleettop/units/broadcast",
	"fleettop/units/diskfault",
	"fleettop/units/proc",
	"fleettop/units/retry",
	"fleettop/units/safefile",
	"fleettop/units/timespan",
	"fleettop/units/wording",
}

func TestImportsGoOneWay(t *testing.T) {
	const each = `{{.ImportPath}}|{{join .Deps " "}}|{{join .Imports " "}}`
	out, err := exec.Command("go", "list", "-e", "-f", each, "fleettop/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps, imports := map[string][]string{}, map[string][]string{}
	for line := range strings.Lines(string(out)) {
		words := strings.Split(strings.TrimSpace(line), "|")
		deps[words[0]], imports[words[0]] = strings.Fields(words[1]), strings.Fields(words[2])
	}
	for _, rule := range forbidden {
		hold(t, deps, rule.pkg, rule.imports, rule.why)
	}
	for _, rule := range direct {
		hold(t, imports, rule.pkg, rule.imports, rule.why)
	}
	if got := imports[program]; !slices.Equal(got, programImports) {
		t.Errorf("%s imports %v: it is one line, and imports only %v", program, got, programImports)
	}
	for _, room := range rooms {
		if len(deps[room]) == 0 {
			t.Errorf("the rules name %s, and there is no such package", room)
		}
		for _, dep := range deps[room] {
			if dep == "fleettop/daemon" || dep != room && slices.Contains(rooms, dep) {
				t.Errorf("%s imports %s: say what it needs in an interface", room, dep)
			}
		}
	}
	for _, rule := range only {
		for pkg, list := range imports {
			if slices.Contains(list, rule.imports) && !slices.Contains(rule.by, pkg) {
				t.Errorf("%s imports %s: %s", pkg, rule.imports, rule.why)
			}
		}
	}
	if len(deps[wire]) == 0 {
		t.Errorf("the rules name %s, and there is no such package", wire)
	}
	for _, pkg := range imports[wire] {
		host, _, _ := strings.Cut(pkg, "/")
		std := host != "fleettop" && !strings.Contains(host, ".")
		if !std && !slices.Contains(wireImports, pkg) && !slices.Contains(primitives, pkg) {
			t.Errorf("%s imports %s: it is what is said, and imports only %v", wire, pkg, wireImports)
		}
	}
}

// hold fails the test where a package at or below a path has the one named, or any below that, in its list.
func hold(t *testing.T, lists map[string][]string, under, imports, why string) {
	t.Helper()
	known := false
	for pkg, list := range lists {
		if pkg != under && !strings.HasPrefix(pkg, under+"/") {
			continue
		}
		known = true
		i := slices.IndexFunc(list, func(dep string) bool {
			below := strings.HasPrefix(dep, strings.TrimSuffix(imports, "/")+"/")
			return !slices.Contains(primitives, dep) && (dep == imports || below)
		})
		if i >= 0 {
			t.Errorf("%s imports %s: %s", pkg, list[i], why)
		}
	}
	if !known {
		t.Errorf("the rules name %s, and there is no such package", under)
	}
}
