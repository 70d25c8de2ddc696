package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// configure writes a configuration that runs of the command line here have.
func configure(t *testing.T, text string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "fleettop"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeConfig(t, dir, text)
	t.Setenv("XDG_CONFIG_HOME", dir)
	return dir
}

func writeConfig(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "fleettop", "config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestClustersByName: every verb talks to the cluster that is named, and to no other.
func TestClustersByName(t *testing.T) {
	s := newShell(t, 3)
	fakeSSH(t)
	clusters := "[clusters.here]\nendpoint = \"" + s.Endpoint + "\"\n" +
		"[clusters.second]\nendpoint = [\"unix:///nowhere/a.sock\", \"" + s.Endpoint + "\"]\n" +
		"[clusters.dead]\nendpoint = [\"unix:///nowhere/a.sock\", \"unix:///nowhere/b.sock\"]\n" +
		"[clusters.one]\nendpoint = \"unix:///nowhere/one.sock\"\n"
	dir := configure(t, clusters)
	run := func(args ...string) (code int, out string) {
		var b bytes.Buffer
		code = Run(t.Context(), args, strings.NewReader(""), &b, &b)
		return code, b.String()
	}
	expect := func(code int, says string, args ...string) {
		t.Helper()
		if got, out := run(args...); got != code || !strings.Contains(out, says) {
			t.Errorf("%s: exit %d, %q; want %d and %q", args, got, out, code, says)
		}
	}
	expect(0, "198.18.1.2", "--cluster=here", "list-machines")
	expect(0, "198.18.1.2", "--cluster=second", "list-machines")
	expect(0, "--\n198.18.1.2\n", "--cluster=second", "ssh", "n2")
	expect(exitFailed, "no daemon of the cluster dead answers: ", "--cluster=dead", "list-machines")
	expect(exitFailed, "/nowhere/one.sock", "--cluster=one", "list-machines")
	expect(exitUsage, "choose of dead, here, one, second", "--cluster=moon", "list-machines")
	expect(exitUsage, "give one of the three", "--cluster=here", "--endpoint="+s.Endpoint, "list-machines")

	t.Setenv("FLEETTOP_CLUSTER", "here")
	expect(0, "198.18.1.2", "list-machines")
	expect(exitFailed, "/nowhere/z.sock", "--endpoint=unix:///nowhere/z.sock", "list-machines")
	t.Setenv("FLEETTOP_CLUSTER", "")
	writeConfig(t, dir, "cluster = \"here\"\n"+clusters)
	expect(0, "198.18.1.2", "list-machines")
	expect(exitFailed, "/nowhere/one.sock", "--cluster=one", "list-machines")
	t.Setenv("FLEETTOP_ENDPOINT", "unix:///nowhere/env.sock")
	expect(exitFailed, "/nowhere/env.sock", "list-machines")
	t.Setenv("FLEETTOP_ENDPOINT", "")

	writeConfig(t, dir, "cluster = \"here\n")
	expect(exitUsage, "mend the file, or say --endpoint or --host", "list-machines")
	expect(0, "198.18.1.2", "--endpoint="+s.Endpoint, "list-machines")
}

// TestAFlagOverridesTheEnvironment, also where the two name daemons in different ways.
func TestAFlagOverridesTheEnvironment(t *testing.T) {
	s := newShell(t, 1)
	t.Setenv("FLEETTOP_HOST", "ssh://nobody@nowhere.invalid")
	var b bytes.Buffer
	if code := Run(t.Context(), []string{"--endpoint", s.Endpoint, "list-machines"}, strings.NewReader(""), &b, &b); code != 0 {
		t.Errorf("exit %d: %s", code, b.String())
	}
}

// TestTheConsoleSwitchesClusters and shows what is true of the new one alone.
func TestTheConsoleSwitchesClusters(t *testing.T) {
	dir := configure(t, "[clusters.a]\nendpoint = \"unix:///nowhere/a.sock\"\n[clusters.b]\nendpoint = \"unix:///nowhere/b.sock\"\n")
	env := []string{"XDG_CONFIG_HOME=" + dir, "XDG_STATE_HOME=" + dir}
	p := person{t, onTerminalWith(t, 120, 30, env, "--cluster=a")}
	p.sees("No daemon at unix:///nowhere/a.sock")
	p.types(":cluster b\r")
	p.sees("No daemon at unix:///nowhere/b.sock")
	p.types(":cluster moon\r")
	p.sees("There is no cluster moon in config.toml. There are: a, b.")
	p.types("q")
	if code := ends(t, p); code != 0 {
		t.Errorf("it ends with %d", code)
	}
	cleanTerminal(t, p.Pty)

	// What was typed is there in the next session.
	p = person{t, onTerminalWith(t, 120, 30, env, "--cluster=a")}
	p.sees("No daemon at unix:///nowhere/a.sock")
	p.types(":\x1b[A")
	p.sees(":cluster moon")
	p.types("\x1b[A\r")
	p.sees("No daemon at unix:///nowhere/b.sock")
}

// TestChangedSettingsAreInUseAtOnce: themes, keys and what is wrong with them. The variable CI, which
// termenv takes for "not a terminal", changes nothing of the colours.
func TestChangedSettingsAreInUseAtOnce(t *testing.T) {
	dir := configure(t, "")
	p := person{t, onTerminalWith(t, 120, 30, []string{"XDG_CONFIG_HOME=" + dir, "CI=true"}, nowhere)}
	p.sees("1 overview")
	writeConfig(t, dir, "theme = \"dark\"\n[keys]\nhelp = \"Z\"\n")
	p.sees("The changed settings are in use.")
	p.types("Z")
	p.sees("this help")
	coloured := false
	for _, row := range p.Cells() {
		for _, c := range row {
			coloured = coloured || strings.Contains(c.Look, "38;5;117")
		}
	}
	if !coloured {
		t.Error("the theme isn't in use")
	}
	writeConfig(t, dir, "theme = \"dark\"\n[keys\n")
	p.sees("The settings stay as they were.")
	p.types("1Z")
	p.sees("this help")
	p.types("q")
	if code := ends(t, p); code != 0 {
		t.Errorf("it ends with %d", code)
	}
}
