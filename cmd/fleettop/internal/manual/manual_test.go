package manual

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"fleettop/cmd/fleettop/internal/cli"
	"fleettop/units"
)

const top = "../../../../"

var edition = Edition{Version: "1.2.3", Date: time.Unix(1767225600, 0)}

// TestPagesAreComplete: each verb has a page with each of its flags, and the
// other pages have each entry of their tables.
func TestPagesAreComplete(t *testing.T) {
	pages := Pages(edition)
	has := func(page string, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !strings.Contains(string(pages[page]), text) {
				t.Errorf("%s doesn't have %q", page, text)
			}
		}
	}
	root := cli.Reference(cli.Build{})
	for _, cmd := range commands(root) {
		page := "man1/" + pageName(cmd) + ".1"
		has(page, ".SH \"NAME\"", ".SH \"SYNOPSIS\"", ".SH \"DESCRIPTION\"", ".SH \"OPTIONS\"", ".SH \"SEE ALSO\"")
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				has(page, bold("--"+f.Name))
			}
		})
		if cmd.Parent() == root {
			has("man1/fleettop.1", bold(cmd.Name()), bold(pageName(cmd))+"(1)")
		}
	}
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { has("man1/fleettop.1", bold("--"+f.Name)) })
	for _, v := range cli.Variables() {
		has("man1/fleettop.1", bold(v.Name))
	}
	for _, v := range cli.DaemonVariables() {
		has("man5/fleettop.env.5", bold(v.Name))
	}
	has("man5/fleettop.env.5", bold("--probe-interval"), bold("--join"), bold("--metadata"))
	for _, o := range units.FleetOptions() {
		if o.Doc == "" || o.Value == "" {
			t.Errorf("the option %s has no text for the manual", o.Name)
		}
		has("man5/fleettop-unit.5", bold(o.Name+"="))
	}
	for _, s := range units.Specifiers() {
		has("man5/fleettop-unit.5", bold("%"+string(s.Letter)))
	}
}

// TestReadmeHasTheOptions: the README has every option of [X-Fleet].
func TestReadmeHasTheOptions(t *testing.T) {
	_, table, _ := strings.Cut(read(t, "README.md"), "| option | meaning |")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, o := range units.FleetOptions() {
		if !strings.Contains(table, "`"+o.Name+"=") {
			t.Errorf("the README's table doesn't have the option %s=", o.Name)
		}
	}
}

// TestPagesDependOnNothingElse makes them for another user in another environment.
func TestPagesDependOnNothingElse(t *testing.T) {
	want := Pages(edition)
	for _, v := range cli.Variables() {
		t.Setenv(v.Name, "http://elsewhere.example:1")
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("TZ", "Asia/Tokyo")
	got := Pages(edition)
	for _, name := range Paths(want) {
		if !bytes.Equal(got[name], want[name]) {
			t.Errorf("%s depends on the environment", name)
		}
	}
}

// TestPagesRender has mandoc and man look at the source.
func TestPagesRender(t *testing.T) {
	dir, pages := t.TempDir(), Pages(edition)
	var paths []string
	for _, name := range Paths(pages) {
		path := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(path, pages[name], 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	for _, check := range [][]string{{"mandoc", "-T", "lint", "-W", "warning"}, {"man", "--warnings", "-E", "UTF-8", "-l"}} {
		if _, err := exec.LookPath(check[0]); err != nil {
			t.Logf("%s isn't installed: not checked with it", check[0])
			continue
		}
		cmd := exec.Command(check[0], slices.Concat(check[1:], paths)...)
		var out, said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &said
		err := cmd.Run()
		if check[0] == "mandoc" { // which says what it finds on its output
			said.Write(out.Bytes())
		}
		if err != nil || said.Len() > 0 {
			t.Errorf("%s: %v\n%s", check[0], err, said.Bytes())
		}
	}
}

// TestServiceNamesPages: what the service's Documentation= names are pages of ours.
func TestServiceNamesPages(t *testing.T) {
	pages := Pages(edition)
	found := regexp.MustCompile(`man:([^(\s]+)\((\d)\)`).FindAllStringSubmatch(read(t, "daemon/fleettop.service"), -1)
	if len(found) == 0 {
		t.Error("it names no page")
	}
	for _, m := range found {
		if _, ok := pages[fmt.Sprintf("man%s/%s.%s", m[2], m[1], m[2])]; !ok {
			t.Errorf("it names %s, and there is no such page", m[0])
		}
	}
}

// TestExampleIsUnderstood: what the example of an environment file has as comments
// are variables and options that there are.
func TestExampleIsUnderstood(t *testing.T) {
	found := 0
	for line := range strings.Lines(string(Example)) {
		m := regexp.MustCompile(`^#([A-Z_]+)=(.*)`).FindStringSubmatch(line)
		if m == nil {
			continue
		}
		found++
		if !slices.ContainsFunc(cli.DaemonVariables(), func(v cli.Variable) bool { return v.Name == m[1] }) {
			t.Errorf("%s is no variable of the manual's", m[1])
		}
		if m[1] != "FLEETTOP_OPTIONS" {
			continue
		}
		cmds := cli.Reference(cli.Build{}).Commands()
		daemon := cmds[slices.IndexFunc(cmds, func(c *cobra.Command) bool { return c.Name() == "daemon" })]
		if err := daemon.ParseFlags(strings.Fields(strings.Trim(m[2], `"`))); err != nil {
			t.Errorf("%s%v", line, err)
		}
	}
	if found == 0 {
		t.Error("there is nothing in it")
	}
}

// protocols are variables that no person sets: systemd and ssh do.
var protocols = []string{"NOTIFY_SOCKET", "JOURNAL_STREAM", "SERVICE_RESULT", "DBUS_SYSTEM_BUS_ADDRESS",
	"DBUS_SESSION_BUS_ADDRESS", "LANG"}

// TestVariablesAreKnown: what the program reads of its environment is in the table.
func TestVariablesAreKnown(t *testing.T) {
	reads := regexp.MustCompile(`(?:Getenv|getenv|LookupEnv)\("([A-Z_]+)"\)`)
	for _, dir := range []string{"cmd/fleettop", "daemon", "journal", "tui", "units"} {
		err := filepath.WalkDir(top+dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range reads.FindAllStringSubmatch(string(source), -1) {
				known := slices.ContainsFunc(cli.Variables(), func(v cli.Variable) bool { return v.Name == m[1] })
				if !known && !slices.Contains(protocols, m[1]) {
					t.Errorf("%s reads %s, which cli.Variables doesn't have", path, m[1])
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(top + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
