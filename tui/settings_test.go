package tui

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fleettop/daemon/api"
	"fleettop/tui/config"
	"fleettop/tui/tuitest"
)

func TestFiltersAreSavedAndUsed(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 12))
	b.settings, _, _ = config.Open(filepath.Join(t.TempDir(), "config.toml"))
	run := func(command string) { b.press(":", "'"+command, "enter") }
	run("use eleven")
	b.shows("No filter is saved")
	b.press("2")
	run("save-filter eleven")
	b.shows("no filter to save")
	b.press("/", "'@11 state=active", "enter")
	run("save-filter eleven")
	b.shows("Saved the filter @11 state=active of the screen units: `:use eleven` sets it.")
	b.press("3")
	run("save-filter")
	b.shows("Give the filter a name")
	b.press(":", "'use e", "tab", "enter")
	b.shows("filter @11 state=active")
	b.hides("web@2.service")
	run("use twelve")
	b.shows("Name a saved filter: eleven.")
	run("forget-filter eleven")
	b.shows("Forgot the filter eleven.")
	run("use eleven")
	b.shows("No filter is saved")
}

func TestThemesAreChosenByName(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 3))
	b.settings, _, _ = config.Open("")
	run := func(command string) { b.press(":", "'"+command, "enter") }
	run("theme")
	b.shows("Name a theme: colour-blind, dark, high-contrast, light, midtones.")
	b.press(":", "'theme hi", "tab", "enter")
	b.shows("The theme is high-contrast until the console closes")
	run("theme pink")
	b.shows("there is no theme")
}

func TestClustersAreChosenByName(t *testing.T) {
	b := newBench(t, 160, 24, false, false, tuitest.Cluster(3, 3))
	run := func(command string) { b.press(":", "'"+command, "enter") }
	run("cluster lab")
	b.shows("No cluster has a name")
	b.clusters, b.cluster = func() []string { return []string{"lab", "prod"} }, "prod"
	b.shows("cluster prod")
	run("cluster")
	b.shows("This is the cluster prod, of lab, prod.")
	run("cluster prod")
	b.shows("This is the cluster prod already.")
	run("cluster moon")
	b.shows("There is no cluster moon in config.toml. There are: lab, prod.")
	if b.desk.cluster != "" {
		t.Fatalf("it switched to %s", b.desk.cluster)
	}
	b.press(":", "'cluster l", "tab", "enter")
	if b.desk.cluster != "lab" {
		t.Errorf("it switched to %q", b.desk.cluster)
	}
	b.remote, b.desk.cluster = true, ""
	run("cluster lab")
	b.shows("This console shows the cluster it runs in.")
	if b.desk.cluster != "" {
		t.Error("a console of another computer switched")
	}
}

// lender is a host on which shells run.
type lender struct {
	*desk
	ran  []string
	said string
}

func (l *lender) RunShell(cmd *exec.Cmd) (string, error) {
	l.ran = append(l.ran, strings.Join(cmd.Args, " "))
	return l.said, cmd.Run()
}

// TestAShellIsOpenedWhereTheUnitIs, and what ssh said is said again.
func TestAShellIsOpenedWhereTheUnitIs(t *testing.T) {
	b := newBench(t, 140, 24, false, false, tuitest.Cluster(3, 3))
	b.press("2", "!")
	b.shows("From here no shell is opened")
	l, program := &lender{desk: b.desk}, "true"
	b.host = l
	b.ssh = func(machine string) *exec.Cmd {
		if program == "true" {
			return exec.Command("true", machine)
		}
		return exec.Command("sh", "-c", "exit 255", machine)
	}
	u := tuitest.Unit("agent.service")
	u.Global = true
	line := &api.Line{Kind: api.LineChange, Units: []api.Unit{u}}
	for i := 1; i <= 3; i++ {
		line.Assignments = append(line.Assignments, tuitest.On(u.Name, i, 10))
	}
	b.line(line)
	ran := func(what string, machine int) {
		t.Helper()
		if n := len(l.ran); n == 0 || l.ran[n-1] != "true "+tuitest.MachineID(machine) {
			t.Errorf("%s runs %q", what, l.ran)
		}
		l.ran = nil
	}
	b.press("g", "j", "!") // the second row of the global unit
	ran("! on a row of a global unit", 2)
	b.shows("The shell on n2 ended.")
	b.press("3", "j", "j", "!")
	ran("! on a machine", 3)
	b.press(":", "'shell n1", "enter")
	ran("shell n1", 1)
	b.press(":", "'shell web@3", "enter")
	ran("shell web@3", 3)
	b.press(":", "'shell agent", "enter")
	b.shows("agent.service is on several machines: `:shell n1`")
	b.press("2", "*", "!")
	b.shows("A shell is opened on one machine")
	if len(l.ran) > 0 {
		t.Errorf("it ran %q", l.ran)
	}
	program, l.said = "false", "ssh: connect to host 10.0.0.2 port 22: Connection refused"
	b.press("3", "g", "!")
	b.shows("The shell on n1 ended with exit code 255: ssh: connect to host 10.0.0.2 port 22: Connection refused")
	b.remote = true
	b.press("!")
	b.shows("A shell on a machine is opened from your own computer")
}

func TestTheLastLineOfErrorsIsKept(t *testing.T) {
	var l lastLine
	for range 100 {
		_, _ = l.Write([]byte("a warning\r\n"))
	}
	_, _ = l.Write([]byte("Permission denied (publickey).\r\n"))
	if l.String() != "Permission denied (publickey)." || len(l.text) > lastLineMost {
		t.Errorf("kept %q", l.String())
	}
}
