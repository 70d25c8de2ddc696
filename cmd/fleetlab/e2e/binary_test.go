//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"fleettop/cmd/fleetlab/lab"
)

// buildDir holds the binaries; TestMain makes and removes it.
var buildDir string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "fleettop-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		buildDir = dir
		return m.Run()
	}())
}

// builds are done once a process, by output.
var builds struct {
	sync.Mutex
	done map[string]error
}

// build runs a go command that writes buildDir/name, and returns that path.
func build(t testing.TB, name string, args ...string) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	path := filepath.Join(buildDir, name)
	err, done := builds.done[name]
	if !done {
		cmd := exec.Command("go", append(args, "-o", path)...)
		if args[0] == "build" {
			cmd.Args = append(cmd.Args, "fleettop/cmd/fleettop")
		}
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		var out []byte
		if out, err = cmd.CombinedOutput(); err != nil {
			err = fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
		}
		if builds.done == nil {
			builds.done = map[string]error{}
		}
		builds.done[name] = err
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// binaryOf returns the static binary, calling itself a version.
func binaryOf(t testing.TB, version string) string {
	return build(t, "fleettop-"+version, "build", "-trimpath", "-ldflags",
		"-s -w -X main.version="+version+" -X main.commit=e2e")
}

// binary returns the binary under test.
func binary(t testing.TB) string {
	if path := os.Getenv("FLEETTOP_BINARY"); path != "" {
		return path
	}
	return binaryOf(t, "e2e-1")
}

// serviceFile is the repository's own.
func serviceFile(t testing.TB) string {
	path, err := filepath.Abs("../../../daemon/fleettop.service")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var labs struct {
	sync.Mutex
	count int
	swept bool
}

const labPrefix = "e2e"

// labName returns a name no other lab has, that tells the process it is of.
func labName(t testing.TB) string {
	labs.Lock()
	defer labs.Unlock()
	if !labs.swept {
		labs.swept = true
		sweep(t)
	}
	labs.count++
	return labPrefix + strconv.Itoa(os.Getpid()) + "x" + strconv.Itoa(labs.count)
}

// sweep takes down labs whose tests were killed.
func sweep(t testing.TB) {
	infos, err := lab.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range infos {
		rest, ours := strings.CutPrefix(info.Name, labPrefix)
		id, _, numbered := strings.Cut(rest, "x")
		pid, err := strconv.Atoi(id)
		if !ours || !numbered || err != nil || syscall.Kill(pid, 0) == nil {
			continue
		}
		if l, err := lab.Open(lab.Options{Name: info.Name}); err == nil {
			if err := l.Down(t.Context()); err != nil {
				t.Log(err)
			}
		}
	}
}
