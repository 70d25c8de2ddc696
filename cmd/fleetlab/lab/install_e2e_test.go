//go:build e2e

package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestInstall(t *testing.T) {
	l, ctx := newLab(t, "testinstall", 1)
	m := l.Machines()[0]
	dir := t.TempDir()
	build := func(version string) string {
		t.Helper()
		source := filepath.Join(dir, version+".go")
		must(t, os.WriteFile(source, []byte(`package main

import ("fmt"; "os"; "strings"; "time")

func main() { fmt.Println("`+version+`", strings.Join(os.Args[2:], "|")); time.Sleep(time.Hour) }
`), 0o644))
		cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, version), source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return filepath.Join(dir, version)
	}
	service := filepath.Join(dir, "f.service")
	must(t, os.WriteFile(service,
		[]byte("[Service]\nEnvironmentFile=-/etc/fleettop/fleettop.env\nExecStart=/usr/local/bin/fleettop daemon $FLEETTOP_OPTIONS\n"+
			"OOMScoreAdjust=-900\nLimitNOFILE=65536\n[Install]\nWantedBy=multi-user.target\n"), 0o644))
	opts := InstallOptions{Binary: build("one"), ServiceFile: service, Env: func(m *Machine) map[string]string {
		return map[string]string{"FLEETTOP_OPTIONS": `--name "$x" ` + m.Name}
	}}
	must(t, l.Install(ctx, opts))
	must(t, m.StartFleettop(ctx))
	says := func(text string) {
		t.Helper()
		err := waitFor(ctx, "the journal to say "+text, func() bool {
			log, err := m.Journal(ctx, UnitName)
			return err == nil && strings.Contains(log, text)
		})
		if err != nil {
			log, _ := m.Journal(ctx, "")
			t.Fatal(err, log)
		}
	}
	says(`one --name|$x|n1`)
	opts.Binary, opts.Env = build("two"), nil
	must(t, m.Install(ctx, opts)) // while it runs
	must(t, m.RestartFleettop(ctx))
	says(`two --name|$x|n1`)
	must(t, m.StopFleettop(ctx))
	// Enabled: it starts with the machine; and it installs on a machine that is off.
	_, err := m.Kill()
	must(t, err)
	opts.Binary = build("three")
	must(t, m.Install(ctx, opts))
	must(t, m.Boot(ctx))
	must(t, m.WaitBooted(ctx))
	says(`three --name|$x|n1`)
}
