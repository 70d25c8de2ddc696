package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fleettop/cluster"
	"fleettop/daemon/api/apitest"
)

// fakeSSH puts a program on PATH that stands for ssh: it prints its arguments a
// line and copies its input; a last argument of "exit N" is obeyed.
func fakeSSH(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\nprintf '%s\\n' \"$@\"\ncat\nfor last; do :; done\ncase $last in exit*) echo failed >&2; $last;; esac\n"
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestSSH(t *testing.T) {
	s := newShell(t, 3)
	fakeSSH(t)
	s.file("a.service", service)
	s.file("g.service", service+"[X-Fleet]\nGlobal=true\n")
	s.file("idle.service", service)
	s.file("3.service", service+"[X-Fleet]\nMachineMetadata=rack=2\n")
	s.must("start", "3.service")
	s.must("start", "a.service")
	s.must("submit", "idle.service")
	s.must("start", "--no-block", "g.service")
	apitest.Eventually(t, "the global unit is everywhere", func() bool {
		_, out, _ := s.try("list-units", "--no-legend", "g.service")
		return strings.Count(out, "active") == 3
	})
	home := strings.SplitN(machineOf(s, "a.service"), "/", 2)[1]
	for args, want := range map[string]string{
		"ssh n2":                               "-- 198.18.1.2",
		"ssh 20000000":                         "-- 198.18.1.2",
		"ssh 20000000...":                      "-- 198.18.1.2",
		"ssh 300":                              "-- 198.18.1.3",
		"ssh 3":                                "-- 198.18.1.2", // the unit
		"ssh n2 uptime -p":                     "-- 198.18.1.2 uptime -p",
		"ssh a":                                "-- " + home,
		"ssh dir/a.service ls --machine":       "-- " + home + " ls --machine",
		"ssh -A -t -l core n3":                 "-A -t -l core -- 198.18.1.3",
		"ssh --machine n3 uptime":              "-- 198.18.1.3 uptime",
		"ssh --forward-agent --unit=a -- ls n": "-A -- " + home + " ls n",
	} {
		if out := s.must(strings.Fields(args)...); strings.Join(strings.Fields(out), " ") != want {
			t.Errorf("%s runs ssh %q, want %q", args, strings.Fields(out), want)
		}
	}
	for args, says := range map[string]string{
		"ssh n9":             "there is no machine n9 and no unit n9.service",
		"ssh --machine n9":   "machine n9 not found",
		"ssh --unit n2":      "Unit n2.service not found",
		"ssh idle":           "unit idle.service is on no machine: start it first",
		"ssh g":              "unit g.service is on several machines: n1, n2, n3: name one of them",
		"--read-only ssh n2": "--read-only looks and changes nothing",
	} {
		s.fails(exitFailed, says, strings.Fields(args)...)
	}
	s.fails(exitUsage, "name what to ssh", "ssh")
	s.fails(exitUsage, "leave out one of them", "ssh", "--machine", "n1", "--unit", "a")

	// The exit code is passed on, and what ssh said is all that is said.
	if code, _, errOut := s.try("ssh", "n2", "exit 3"); code != 3 || errOut != "failed\n" {
		t.Errorf("exit %d, %q", code, errOut)
	}
	var out bytes.Buffer
	if code := Run(t.Context(), []string{"--endpoint", s.Endpoint, "ssh", "n2", "cat"}, strings.NewReader("by the pipe"),
		&out, &out); code != 0 ||
		!strings.HasSuffix(out.String(), "by the pipe") {
		t.Errorf("exit %d, %s", code, &out)
	}
	t.Setenv("PATH", t.TempDir())
	s.fails(exitFailed, "install OpenSSH's client", "ssh", "n2")
}

// TestSSHToAMachineThatIsAway: it is tried, as only the daemon may be gone.
func TestSSHToAMachineThatIsAway(t *testing.T) {
	s := newShell(t, 3)
	fakeSSH(t)
	s.SetHealth(apitest.Machine(3).ID, cluster.DaemonGone)
	apitest.Eventually(t, "the daemon to be gone", func() bool {
		code, out, errOut := s.try("ssh", "n3")
		return code == 0 && strings.Contains(out, "198.18.1.3") && errOut == "warning: n3 is daemon-gone.\n"
	})
}

// TestSSHThroughAHost: with -H, the machines are reached through that host, and as its user.
func TestSSHThroughAHost(t *testing.T) {
	c := apitest.Start(t, 2)
	far := newFarMachine(t, c.Endpoint)
	var out, errOut bytes.Buffer
	code := Run(t.Context(), []string{"-H", "ssh://ada@far", "ssh", "n2", "true"}, strings.NewReader(""), &out, &errOut)
	far.mu.Lock()
	defer far.mu.Unlock()
	if got := strings.Join(far.forwarded, ", "); got != "direct-tcpip 198.18.1.2:22 <nil>" || code != 255 ||
		!strings.Contains(errOut.String(), "nothing is there") {
		t.Errorf("exit %d, forwarded: %s\n%s%s", code, got, &out, &errOut)
	}
}
