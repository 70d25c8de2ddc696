package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleettop/internal/wait"
	"fleettop/daemon/api/apitest"
	"fleettop/daemon/api/server"
	"fleettop/units"
)

const service = "[Unit]\nDescription=A test\n[Service]\nExecStart=/bin/true\n"

// shell is a command line against a cluster under test, in a folder of its own.
type shell struct {
	*apitest.Cluster
	t *testing.T
}

func newShell(t *testing.T, machines int, tweaks ...func(*server.Config)) *shell {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv("NO_COLOR", "")
	return &shell{apitest.Start(t, machines, tweaks...), t}
}

// file writes a file into the shell's folder.
func (s *shell) file(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// try runs a command line and returns its exit code and what it printed.
func (s *shell) try(args ...string) (code int, out, errOut string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 60*time.Second)
	defer cancel()
	var o, e bytes.Buffer
	code = Run(ctx, append([]string{"--endpoint", s.Endpoint}, args...), strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

// submitted is what is said of a name that was taken for a file's.
var submitted = regexp.MustCompile(`(?m)^Submitted \S+ from the file \S+\n`)

// must runs a command line that has to work, and returns its output.
func (s *shell) must(args ...string) string {
	s.t.Helper()
	code, out, errOut := s.try(args...)
	if code != 0 || submitted.ReplaceAllString(errOut, "") != "" {
		s.t.Fatalf("fleettop %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errOut)
	}
	return out
}

// fails runs a command line that has to fail with a code and some words.
func (s *shell) fails(code int, says string, args ...string) {
	s.t.Helper()
	got, out, errOut := s.try(args...)
	if got != code || !strings.Contains(errOut, says) {
		s.t.Errorf("fleettop %s: exit %d, want %d with %q\n%s%s", strings.Join(args, " "), got, code, says, out, errOut)
	}
}

func (s *shell) wants(out string, words ...string) {
	s.t.Helper()
	for _, w := range words {
		if !strings.Contains(out, w) {
			s.t.Errorf("no %q in\n%s", w, out)
		}
	}
}

func TestTheBlogPost(t *testing.T) {
	s := newShell(t, 3)
	for _, name := range []string{"myapp.service", "anotherapp.service", "someapp.service"} {
		s.file(name, service)
	}
	out := s.must("start", "myapp", "anotherapp.service", "./someapp.service")
	s.wants(out, "Unit myapp.service launched on ", "Unit anotherapp.service launched on ",
		"Unit someapp.service launched on ")
	if got, want := s.must("list-unit-files"), strings.TrimLeft(`
UNIT                HASH     DSTATE    STATE     TARGET
anotherapp.service  e7823f5  launched  launched  10000000.../198.18.1.1
myapp.service       e7823f5  launched  launched  20000000.../198.18.1.2
someapp.service     e7823f5  launched  launched  30000000.../198.18.1.3
`, "\n"); got != want {
		t.Errorf("list-unit-files:\n%swant\n%s", got, want)
	}
	if got, want := s.must("list-units"), strings.TrimLeft(`
UNIT                MACHINE                 ACTIVE  SUB
anotherapp.service  10000000.../198.18.1.1  active  running
myapp.service       20000000.../198.18.1.2  active  running
someapp.service     30000000.../198.18.1.3  active  running
`, "\n"); got != want {
		t.Errorf("list-units:\n%swant\n%s", got, want)
	}
	if got, want := s.must("list-machines"), strings.TrimLeft(`
MACHINE      IP          METADATA
10000000...  198.18.1.1  rack=1
20000000...  198.18.1.2  rack=2
30000000...  198.18.1.3  rack=3
`, "\n"); got != want {
		t.Errorf("list-machines:\n%swant\n%s", got, want)
	}
	s.SetHealth(apitest.Machine(2).ID, cluster.Failed)
	apitest.Eventually(t, "myapp has moved", func() bool {
		return !strings.Contains(s.must("list-units", "--no-legend", "--fields=unit,machine", "--full", "myapp.service"),
			apitest.Machine(2).ID)
	})
	if out := s.must("list-machines", "--no-legend"); strings.Contains(out, "20000000") {
		t.Errorf("a dead machine is listed as if it were up:\n%s", out)
	}
	s.wants(s.must("list-machines", "--all"), "n2", "failed", "up, leader")
}

func TestLifeOfAUnit(t *testing.T) {
	s := newShell(t, 1)
	s.file("a.service", service)
	for _, step := range []struct{ args, says string }{
		{"submit a.service", "Unit a.service inactive"},
		{"submit a.service", "Unit a.service inactive"},
		{"load a.service", "Unit a.service loaded on 10000000.../198.18.1.1"},
		{"start a", "Unit a.service launched on 10000000.../198.18.1.1"},
		{"load a", "Unit a.service launched on 10000000.../198.18.1.1"},
		{"submit a.service", "Unit a.service is submitted already, and to be launched"},
		{"restart a", "Unit a.service restarted on 10000000.../198.18.1.1"},
		{"stop a*", "Unit a.service loaded on 10000000.../198.18.1.1"},
		{"unload a.service", "Unit a.service inactive"},
		{"stop a.service", "Unit a.service inactive"},
		{"start --no-block a.service", "Triggered unit a.service start"},
		{"destroy a.service", "Destroyed a.service"},
	} {
		if out := s.must(strings.Fields(step.args)...); out != step.says+"\n" {
			t.Errorf("%s: %qwant %q", step.args, out, step.says)
		}
	}
	s.fails(1, "Unit a.service not found", "stop", "a.service")
	s.fails(1, "Unit a.service not found", "cat", "a.service")
	s.fails(1, `no unit matches "a*"`, "stop", "a*")
}

func TestRestartIsReal(t *testing.T) {
	s := newShell(t, 1)
	s.file("a.service", service)
	s.must("start", "a.service")
	pid := func() (pid int) {
		var list []unitStatus
		if err := json.Unmarshal([]byte(s.must("-o", "json", "status", "a")), &list); err != nil {
			t.Fatal(err)
		}
		return list[0].Placements[0].PID
	}
	before := pid()
	s.must("restart", "a")
	if after := pid(); after == before || after == 0 {
		t.Errorf("PID %d before, %d after", before, after)
	}
}

func TestTemplates(t *testing.T) {
	s := newShell(t, 3)
	s.file("zk@.service", service)
	s.must("submit", "zk@.service")
	s.fails(1, "zk@.service is a template: load an instance of it, such as zk@1.service", "load", "zk@.service")
	s.wants(s.must("load", "zk@1.service", "zk@2.service", "zk@3.service"), "zk@1.service loaded", "zk@2.service loaded",
		"zk@3.service loaded")
	s.must("start", "zk@1", "zk@2", "zk@3")
	where := s.must("list-units", "--no-legend", "--fields", "machine", "zk@?.service")
	s.wants(where, "198.18.1.1", "198.18.1.2", "198.18.1.3")
	s.must("destroy", "zk@*")
	s.wants(s.must("start", "zk@7.service"), "Unit zk@7.service launched") // from the template's file at hand
}

func TestUnplaced(t *testing.T) {
	s := newShell(t, 2)
	s.file("far.service", service+"[X-Fleet]\nMachineMetadata=rack=99\n")
	s.file("near.service", service+"[X-Fleet]\nMachineMetadata=rack=2\n")
	began := time.Now()
	s.fails(1, "rack=99", "start", "far.service")
	if took := time.Since(began); took < wait.Settle || took > 30*time.Second {
		t.Errorf("it took %v to give up on a unit that no machine can take", took)
	}
	s.fails(1, "Unit far.service is not placed", "start", "--wait=100ms", "far.service")
	s.wants(s.must("status", "far"), "Unplaced: ", "rack=99")
	s.wants(s.must("explain", "far"), "unplaced", "n1", "n2", "no")
	s.must("cordon", "n2")
	time.AfterFunc(700*time.Millisecond, func() { s.Client().Schedule(context.Background(), "n2", "uncordon") })
	s.wants(s.must("start", "--wait=15s", "near.service"), "Unit near.service launched on 20000000.../198.18.1.2")
}

func TestHeld(t *testing.T) {
	s := newShell(t, 3)
	s.file("a.service", service+"[X-Fleet]\nMachineID="+apitest.Machine(3).ID+"\n")
	s.must("start", "a.service")
	s.Hold("2 of 3 machines vanished at once; drain the machines that are really dead")
	s.SetHealth(apitest.Machine(3).ID, cluster.Failed)
	const why = "stays on n3, which failed, as failovers are held: 2 of 3 machines vanished at once; drain"
	apitest.Eventually(t, "status says so", func() bool {
		return strings.Contains(s.must("status", "a"),
			"Held: it "+why)
	})
	s.wants(s.must("explain", "a"), "a.service: "+why, "failed; its units stay")
	if _, out, _ := s.try("list-units", "--fields=unit,reason"); !strings.Contains(out, why) {
		t.Errorf("listed as\n%s", out)
	}
	for _, verb := range []string{"list-units", "list-unit-files", "list-machines"} {
		if _, _, errOut := s.try(verb); !strings.Contains(errOut,
			"warning: failovers are held: 2 of 3 machines vanished at once") {
			t.Errorf("%s says nothing of it: %s", verb, errOut)
		}
	}
}

func TestWaiting(t *testing.T) {
	s := newShell(t, 1)
	s.file("a.service", service)
	s.must("submit", "a.service")
	s.Pause()
	s.fails(1, "Timed out after 250ms waiting for unit a.service to start: it has no machine yet", "start",
		"--block-attempts=1", "a")
	s.must("stop", "--no-block", "a")
	s.Resume()
	s.must("start", "a")
	s.Break("a.service", units.Status{Active: "failed", Sub: "failed", Result: "exit-code"}, "")
	s.fails(1, "Unit a.service failed on 10000000.../198.18.1.1: exit-code", "restart", "a")
	s.Break("a.service", units.Status{Active: "inactive"}, "the host already owns a unit of this name")
	s.fails(1, "the host already owns a unit of this name", "restart", "a")
	s.wants(s.must("status", "a"), "Error: the host already owns")
	s.fails(1, "the host already owns a unit of this name", "start", "a")
	s.Break("a.service", units.Status{Active: "active", Sub: "running", Result: "success"}, "")
	s.wants(s.must("start", "a"), "Unit a.service launched on ") // what failed is tried again
	s.wants(s.must("status", "a"), "generation 8")
	s.must("start", "a")
	s.wants(s.must("status", "a"), "generation 8") // what runs is left alone
}

func TestInterrupted(t *testing.T) {
	s := newShell(t, 1)
	s.file("a.service", service)
	s.Pause()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	var out, errOut bytes.Buffer
	if code := Run(ctx, []string{"--endpoint", s.Endpoint, "start", "a.service"}, nil, &out,
		&errOut); code != exitInterrupted {
		t.Errorf("exit %d\n%s%s", code, out.String(), errOut.String())
	}
	s.wants(errOut.String(), "The cluster carries on; 1 of 1 units")

	// The daemon has it, and hasn't answered.
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then a client that goes is noticed
		<-r.Context().Done()
	}))
	defer hung.Close()
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	out.Reset()
	errOut.Reset()
	if code := Run(ctx, []string{"--endpoint", hung.URL, "destroy", "a.service"}, nil, &out,
		&errOut); code != exitInterrupted {
		t.Errorf("exit %d\n%s%s", code, out.String(), errOut.String())
	}
	s.wants(errOut.String(), "Interrupted. 0 of 1 units were done; what became of the others isn't known")

	// A program is told all the same what was reached and what wasn't.
	s.file("b.service", service)
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	out.Reset()
	if code := Run(ctx, []string{"--endpoint", s.Endpoint, "-o", "json", "start", "a.service", "nope.service",
		"b.service"}, nil, &out, &errOut); code != exitInterrupted {
		t.Errorf("exit %d\n%s%s", code, out.String(), errOut.String())
	}
	var outcomes []wait.Outcome
	if err := json.Unmarshal(out.Bytes(), &outcomes); err != nil || len(outcomes) != 3 ||
		outcomes[0].Verdict != wait.Refused || outcomes[1].Verdict != wait.Pending || outcomes[2].Unit != "b.service" {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestUsage(t *testing.T) {
	s := newShell(t, 1)
	for _, tc := range []struct{ args, says string }{
		{"explode", `unknown verb "explode"`},
		{"fd-forward /run/fleet.sock", "with `--host ssh://user@host` any verb reaches another machine's daemon"},
		{"list-unit", "did you mean list-unit"},
		{"start", "name what to start"},
		{"start --nope a", "--nope"},
		{"start --no-block --wait 1s a", "--no-block"},
		{"start --block-attempts=-1 a", "negative"},
		{"stop --replace a", "--replace"},
		{"list-units --fields=unit,nope", `unknown field "nope"`},
		{"list-units -o yaml", "text or json"},
		{"status", "name what to look at"},
		{"explain", "name what to explain"},
		{"explain a b", "one at a time"},
		{"list-machines n1", `takes no arguments: leave out "n1"`},
		{"key rotat", `unknown verb "rotat"`},
		{"help explode", `unknown verb "explode"`},
		{"help key rotat", `unknown verb "rotat"`},
		{"completion tcsh", `unknown verb "tcsh"`},
		{"--request-timeout=0 list-units", "--request-timeout 0s leaves no time"},
		{"--host=ssh://x list-units", "leave out one of them"},
		{"events --since=bogus", `"bogus" is no time`},
		{"daemon --log-level=loud", "loud"},
		{"daemon --etcd-cert=x", "--etcd-endpoints"},
		{"--endpoint=ftp://x list-units", "unix:///"},
		{"events --limit=-1", "negative"},
	} {
		s.fails(2, tc.says, strings.Fields(tc.args)...)
	}
	s.fails(2, "needs a terminal")
	s.wants(s.must("--help"), "Usage:")
	s.wants(s.must("help", "key", "rotate"), "key rotate")
	s.wants(s.must("completion"), "bash")
	s.must("events", "--since", "2 hours ago")
	s.wants(s.must("version"), "fleettop version ", "commit ", "go1.")
	s.wants(s.must("--version"), "fleettop version ")
	s.fails(1, "systemctl start fleettop", "--endpoint=unix:///nowhere/x.sock", "list-units")
}

// TestOddFiles gives the verbs what is no unit file.
func TestOddFiles(t *testing.T) {
	s := newShell(t, 1)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir("dir", 0o755))
	must(syscall.Mkfifo("pipe.service", 0o644))
	s.fails(1, "./dir is a directory: give the unit files in it, such as dir/*.service", "start", "./dir")
	s.fails(1, ". is a directory", "start", ".")
	// Even a pipe that has a writer, who says nothing, is refused at once.
	writer, err := os.OpenFile("pipe.service", os.O_RDWR, 0)
	must(err)
	defer writer.Close()
	s.fails(1, "pipe.service: it is a FIFO: not a regular file: give a unit file", "submit", "pipe.service")
	s.fails(1, "it is a FIFO", "verify", "pipe.service")
	s.fails(1, "it is a device", "submit", "/dev/zero")
	s.fails(1, "it is a FIFO", "start", "./pipe.service") // nobody writes to it
	s.fails(1, "it is a FIFO", "start", "pipe.service")
	s.file("tpl@.service", service)
	s.must("submit", "tpl@.service")
	s.wants(s.must("explain", "tpl@.service"), "a template runs on no machine itself", "tpl@1.service")
	for verb, says := range map[string]string{"list-units": "list-unit-files", "list-unit-files": "Nothing matches no*"} {
		if code, _, errOut := s.try(verb, "no*"); code != 0 || !strings.Contains(errOut, "Nothing matches no*.") ||
			!strings.Contains(errOut, says) {
			t.Errorf("%s: exit %d, %s", verb, code, errOut)
		}
	}
}

// full is an output that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestOutputThatIsLost(t *testing.T) {
	s := newShell(t, 1)
	s.file("a.service", service)
	for _, args := range []string{"start a.service", "start --no-block a.service", "-o json start a.service", "list-units",
		"status a", "cat a", "explain a", "events", "list-machines"} {
		var errOut bytes.Buffer
		if code := Run(t.Context(), append([]string{"--endpoint", s.Endpoint}, strings.Fields(args)...), nil, full{},
			&errOut); code != exitFailed || !strings.Contains(errOut.String(), "no space left") {
			t.Errorf("%s: exit %d, %s", args, code, errOut.String())
		}
	}
}

func TestGlobalUpdate(t *testing.T) {
	s := newShell(t, 3)
	const global = "[X-Fleet]\nGlobal=true\n"
	s.file("g.service", service+global)
	s.must("start", "g.service")
	for n, args := range [][]string{{"submit", "--replace"}, {"start", "--replace", "--max-unavailable", "2"}} {
		content := service + strings.Repeat("Nice=5\n", n+1) + global
		file, err := units.ParseFile(content)
		if err != nil {
			t.Fatal(err)
		}
		s.file("g.service", content)
		s.wants(s.must(append(args, "g.service")...), []string{"Unit g.service replaced",
			"Triggered global unit g.service start, machine by machine"}[n])
		apitest.Eventually(t, "the global unit is up to date everywhere", func() bool {
			rows := strings.Fields(s.must("list-units", "--no-legend", "--fields", "hash", "g.service"))
			return len(rows) == 3 && rows[0] == rows[1] && rows[1] == rows[2] && strings.HasPrefix(file.Hash(), rows[0])
		})
	}
	s.wants(s.must("restart", "--max-unavailable", "1", "g.service"), "machine by machine; `fleettop explain g.service` says how far it is")
	s.file("a.service", service)
	s.fails(1, "a.service is on one machine at a time anyway", "start", "--max-unavailable", "2", "a.service")
	s.fails(2, "can't be negative", "start", "--max-unavailable", "-1", "g.service")
	s.fails(2, "unknown flag", "stop", "--max-unavailable", "1", "g.service")
}

func TestLooking(t *testing.T) {
	s := newShell(t, 2)
	s.file("a.service", service)
	s.file("g.service", service+"[X-Fleet]\nGlobal=true\n")
	s.must("start", "a.service")
	s.wants(s.must("start", "g.service"), "Triggered global unit g.service start")
	apitest.Eventually(t, "the global unit is everywhere", func() bool {
		_, out, _ := s.try("list-units", "--no-legend", "g.service") // at first it is nowhere, which is said
		return strings.Count(out, "active") == 2
	})
	if got, want := s.must("list-unit-files", "--fields", "unit,state,target,global,desc"), strings.TrimLeft(`
UNIT       STATE     TARGET                  GLOBAL  DESC
a.service  launched  10000000.../198.18.1.1  false   A test
g.service  -         global                  true    A test
`, "\n"); got != want {
		t.Errorf("list-unit-files:\n%swant\n%s", got, want)
	}
	s.wants(s.must("status", "a"), "● a.service - A test", "Desired: launched by ", "Machine: 10000000.../198.18.1.1 (n1)",
		"Active: active (running) since ", "Main PID: 1", "Reason: ", "e7823f5")
	s.wants(s.must("explain", "a"), "a.service: ", "n1", "here", "n2", "could")
	s.wants(s.must("events"), "started a.service", "(by ")
	s.wants(s.must("drain", "n2"), "Machine 20000000... (n2) is drained")
	s.wants(s.must("list-machines", "-a"), "drained", "MACHINE", "SCHEDULE")
	s.fails(1, "is up", "forget", "n2")
	s.fails(1, "machine n9 not found", "cordon", "n9")
	s.must("uncordon", "n2")
	s.wants(s.must("leave"), "leaving")
	<-s.Left
	var rows []unitRow
	if err := json.Unmarshal([]byte(s.must("list-units", "-o", "json", "a.service")), &rows); err != nil ||
		len(rows) != 1 || rows[0].Active != "active" || rows[0].Address != "198.18.1.1" {
		t.Errorf("list-units -o json: %+v, %v", rows, err)
	}
	var outcomes []wait.Outcome
	if err := json.Unmarshal([]byte(s.must("restart", "-o", "json", "a")), &outcomes); err != nil || len(outcomes) != 1 ||
		outcomes[0].Verdict != wait.Reached || outcomes[0].Machine != apitest.Machine(1).ID {
		t.Errorf("restart -o json: %+v, %v", outcomes, err)
	}
}

func TestStaleStateIsSaid(t *testing.T) {
	s := newShell(t, 2)
	s.file("a.service", service)
	s.must("start", "a.service")
	s.Store.SetReachable(false)
	apitest.Eventually(t, "the daemon notices", func() bool { _, live, _, _ := s.View.LastKnown(); return !live })
	code, out, errOut := s.try("list-units")
	if code != 0 || !strings.Contains(out, "a.service") || !strings.Contains(errOut,
		"the cluster's store can't be reached") {
		t.Errorf("list-units without a store: %d\n%s%s", code, out, errOut)
	}
	s.fails(1, "store", "stop", "a.service")
	s.Store.SetReachable(true)
}

func TestFollowEvents(t *testing.T) {
	s := newShell(t, 1)
	s.file("a.service", service)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &watched{want: "destroyed a.service", found: cancel}
	done := make(chan int)
	go func() {
		done <- Run(ctx, []string{"--endpoint", s.Endpoint, "events", "-f"}, nil, out, &bytes.Buffer{})
	}()
	s.must("submit", "a.service")
	s.must("destroy", "a.service")
	select {
	case code := <-done:
		if code != exitInterrupted {
			t.Errorf("exit %d", code)
		}
	case <-time.After(60 * time.Second):
		t.Fatal("the event was not followed")
	}
}

// watched calls found when what it waits for is written.
type watched struct {
	bytes.Buffer
	want  string
	found func()
}

func (w *watched) Write(b []byte) (int, error) {
	defer func() {
		if strings.Contains(w.String(), w.want) {
			w.found()
		}
	}()
	return w.Buffer.Write(b)
}

func TestCompletion(t *testing.T) {
	s := newShell(t, 2)
	s.file("web@1.service", service)
	s.file("db.service", service)
	s.must("submit", "web@1.service", "db.service")
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"stop", "w"}, "web@1.service"},
		{[]string{"stop", "web@1.service", ""}, "db.service"},
		{[]string{"drain", ""}, "n2"},
		{[]string{"list-units", "--fields", ""}, "machine"},
		{[]string{"list-units", "--fields", "unit,m"}, "unit,machine\n"},
		{[]string{"list-units", "--fields=unit,active,"}, "unit,active,sub\n"},
		{[]string{"journal", "web"}, "web@1.service"},
		{[]string{"journal", "db.service@"}, "db.service@n2\t"},
		{[]string{"journal", "web@1.service@n"}, "web@1.service@n1\t"},
		{[]string{"journal", "web@*.service@n"}, "web@*.service@n1\t"},
	} {
		code, out, _ := s.try(append([]string{"__complete"}, tc.args...)...)
		if code != 0 || !strings.Contains(out, tc.want) || tc.args[0] == "stop" && strings.Count(out, ".service") != 1 {
			t.Errorf("completing %v: %d\n%s", tc.args, code, out)
		}
	}
	for _, sh := range []string{"bash", "zsh", "fish"} {
		s.wants(s.must("completion", sh), "fleettop")
	}
}
