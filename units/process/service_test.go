package process

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"fleettop/units"
)

func wantJobError(t testing.TB, err error, result, detail string) {
	t.Helper()
	var job *units.JobError
	if !errors.As(err, &job) || job.Result != result || !strings.Contains(job.Detail, detail) {
		t.Errorf("got %v, want result %s and a detail with %q", err, result, detail)
	}
}

func TestCommandsInOrder(t *testing.T) {
	b := newBench(t)
	step := func(s string) string {
		return fmt.Sprintf(`/bin/sh -c "echo %s $$MAINPID.$$SERVICE_RESULT.$$EXIT_CODE.$$EXIT_STATUS >> %s/steps"`, s, b.dir)
	}
	b.load("a.service", "[Service]\nExecStartPre="+step("pre1")+"\nExecStartPre=-/nonexistent ; -/bin/false ; "+step("pre2")+
		"\nExecStart=/bin/sleep 1000\nExecStartPost="+step("post")+"\nExecStop="+step("stop")+"\nExecStopPost="+step("stoppost")+"\n")
	b.start("a.service")
	pid := b.status("a.service").PID
	b.stop("a.service")
	want := fmt.Sprintf("pre1 ...\npre2 ...\npost %d...\nstop %d.success..\nstoppost .success.killed.TERM\n", pid, pid)
	if got, _ := os.ReadFile(filepath.Join(b.dir, "steps")); string(got) != want {
		t.Errorf("steps:\n%swant:\n%s", got, want)
	}
	if s := b.status("a.service"); s.Result != "success" || s.Active != "inactive" {
		t.Errorf("%+v", s)
	}
}

func TestOneshotWithSeveralCommands(t *testing.T) {
	b := newBench(t)
	b.load("a.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo 1' ; -/bin/false\nExecStart=/bin/sh -c 'echo 2 >&2'\n")
	b.start("a.service")
	if s := b.status("a.service"); s.Active != "active" || s.Sub != "exited" || b.log("a.service") != "1\n2\n" {
		t.Errorf("%+v, log %q", s, b.log("a.service"))
	}
	b.load("b.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 3'\nExecStart=/bin/sh -c 'echo no'\n")
	wantJobError(t, b.Start(b.ctx, "b.service"), "exit-code", "exit status 3")
	if s := b.status("b.service"); s.Active != "failed" || s.Sub != "failed" || b.log("b.service") != "" {
		t.Errorf("%+v, log %q", s, b.log("b.service"))
	}
}

func TestWhatKeepsAUnitFromStarting(t *testing.T) {
	b := newBench(t)
	plain := filepath.Join(b.dir, "plain")
	if err := os.WriteFile(plain, []byte("not a program"), 0o644); err != nil {
		t.Fatal(err)
	}
	for i, test := range []struct{ lines, result, detail string }{
		{"ExecStart=/nope", "exit-code", "ExecStart: /nope: no such file"},
		{"ExecStart=no-such-program", "exit-code", "ExecStart: no-such-program: no such program"},
		{"ExecStart=" + plain, "exit-code", "permission denied"},
		{"Type=exec\nExecStart=/nope", "exit-code", "/nope"},
		{"Type=notify\nExecStart=/nope", "exit-code", "/nope"},
		{"ExecStartPre=/nope\nExecStart=/bin/true", "exit-code", "ExecStartPre: /nope"},
		{"ExecStartPre=/bin/sh -c 'kill -KILL $$$$'\nExecStart=/bin/true", "signal", "SIGKILL"},
		{"ExecStartPost=/bin/false\nExecStart=/bin/sleep 1000", "exit-code", "ExecStartPost: /bin/false: exit status 1"},
		{"ExecStart=/bin/true\nWorkingDirectory=/nope", "exit-code", "WorkingDirectory: /nope"},
		{"ExecStart=/bin/true\nUser=nobody-of-that-name", "exit-code", "no such user"},
		{"ExecStart=/bin/true\nGroup=nobody-of-that-name", "exit-code", "no such group"},
		{"ExecStart=/bin/true\nEnvironmentFile=/nope", "resources", "EnvironmentFile: /nope: no such file"},
		{self(t, "leaves") + "Type=notify", "protocol", "READY=1"},
		{self(t, "silent") + "Type=notify\nTimeoutStartSec=200ms", "timeout", "within 200ms"},
		{"Type=forking\nPIDFile=" + b.dir + "/none\nExecStart=/bin/true", "protocol", "PIDFile"},
		{"Type=forking\nExecStart=/bin/sh -c 'exit 2'", "exit-code", "exit status 2"},
	} {
		name := fmt.Sprintf("a%d.service", i)
		b.load(name, "[Service]\n"+test.lines+"\n")
		wantJobError(t, b.Start(b.ctx, name), test.result, test.detail)
		if s := b.status(name); s.Active != "failed" || s.Result != test.result || s.PID != 0 {
			t.Errorf("%s: %+v", test.lines, s)
		}
	}
}

func TestEnvironmentOfCommands(t *testing.T) {
	b := newBench(t)
	if err := os.WriteFile(filepath.Join(b.dir, "env"), []byte("FROM_FILE='a b'\nOVER=file\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FLEETTOP_TEST_PASSED", "passed")
	t.Setenv("FLEETTOP_TEST_KEPT", "kept")
	b.load("a@x.service",
		fmt.Sprintf("[Service]\nType=oneshot\nEnvironment=OVER=line 'SAID=%%i'\nEnvironmentFile=%s/env\nEnvironmentFile=-/nope\n"+
			"PassEnvironment=FLEETTOP_TEST_PASSED\nUMask=0027\nWorkingDirectory=%s\nExecStart=sh -c 'env; umask; pwd; ls -l /proc/self/fd | wc -l; cat' ${FROM_FILE}\n", b.dir, b.dir))
	b.start("a@x.service")
	log := b.log("a@x.service")
	for _, want := range []string{"OVER=file\n", "SAID=x\n", "FROM_FILE=a b\n", "FLEETTOP_TEST_PASSED=passed\n", "PATH=" +
		defaultPath + "\n", "INVOCATION_ID=", "\n0027\n", "\n" + b.dir + "\n"} {
		if !strings.Contains(log, want) {
			t.Errorf("%q is missing in\n%s", want, log)
		}
	}
	for _, not := range []string{"KEPT", "NOTIFY_SOCKET"} {
		if strings.Contains(log, not) {
			t.Errorf("%q should not be in\n%s", not, log)
		}
	}
	// ls itself has the directory open; the first line says "total".
	if !strings.HasSuffix(log, "\n5\n") {
		t.Errorf("more than three files are open:\n%s", log)
	}
}

func TestUser(t *testing.T) {
	b := newBench(t)
	nobody, err := user.Lookup("nobody")
	if err != nil || os.Geteuid() != 0 {
		// Not root: the one user a unit can run as is our own, and any other is refused.
		b.load("other.service", "[Service]\nUser=root\nExecStart=/bin/true\n")
		wantJobError(t, b.Start(b.ctx, "other.service"), "exit-code", "only root")
		return
	}
	b.load("a.service", "[Service]\nType=oneshot\nUser=nobody\nExecStart=/bin/sh -c 'id -u; echo $$USER'\nExecStart=+/usr/bin/id -u\n")
	b.start("a.service")
	if got, want := b.log("a.service"), nobody.Uid+"\nnobody\n0\n"; got != want {
		t.Errorf("ran as %q, want %q", got, want)
	}
}

func TestNotify(t *testing.T) {
	b := newBench(t)
	b.load("a.service", "[Service]\nType=notify\n"+self(t, "ready"))
	b.start("a.service")
	s := b.status("a.service")
	if s.Active != "active" || s.Sub != "running" || !lives(s.PID) || s.PID == 1 {
		t.Errorf("ready: %+v; it must not believe that process 1 is its own", s)
	}
	b.stop("a.service")
	if s := b.status("a.service"); s.Active != "inactive" || s.Result != "success" {
		t.Errorf("stopped: %+v; %s", s, b.log("a.service"))
	}
	if left, _ := os.ReadDir(filepath.Join(b.dir, "state", "notify")); len(left) != 0 {
		t.Errorf("sockets are left: %v", left)
	}
}

func TestWhoMayNotify(t *testing.T) {
	b := newBench(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := "[Service]\nType=notify\nEnvironment=PROCESS_TEST_ROLE=ready\nExecStart=/bin/sh -c '" + exe + " & wait'\n"
	b.load("main.service", child+"TimeoutStartSec=500ms\n")
	wantJobError(t, b.Start(b.ctx, "main.service"), "timeout", "500ms")
	b.load("all.service", child+"NotifyAccess=all\n")
	b.start("all.service")
}

func TestWatchdog(t *testing.T) {
	b := newBench(t)
	b.load("a.service", "[Service]\nType=notify\nWatchdogSec=300ms\nRestart=on-watchdog\nRestartSec=1h\n"+self(t,
		"watched"))
	b.start("a.service")
	if s := b.await("a.service", "activating/auto-restart"); s.Result != "watchdog" || s.PID != 0 {
		t.Errorf("%+v", s)
	}
	b.stop("a.service")
	if s := b.status("a.service"); s.Sub != "dead" {
		t.Errorf("stopped while it waits for its restart: %+v", s)
	}
}

func TestForkingWithPIDFile(t *testing.T) {
	b := newBench(t)
	// The file comes late, and names one of two processes.
	b.load("a.service", fmt.Sprintf("[Service]\nType=forking\nPIDFile=%[1]s/pid\nExecStart=/bin/sh -c '"+
		"setsid sleep 1000 & (sleep 0.1; setsid sleep 1001 & echo $$! > %[1]s/tmp; mv %[1]s/tmp %[1]s/pid) & exit 0'\n",
		b.dir))
	b.start("a.service")
	s := b.status("a.service")
	if want := b.read("pid"); strconv.Itoa(s.PID) != want || !lives(s.PID) || s.Sub != "running" {
		t.Errorf("%+v, want process %s", s, want)
	}
	all := len(b.unit("a.service").members())
	b.stop("a.service")
	if lives(s.PID) || all != 2 || len(b.unit("a.service").members()) != 0 {
		t.Errorf("of %d processes %v are left", all, b.unit("a.service").members())
	}
	if _, err := os.Stat(filepath.Join(b.dir, "pid")); !os.IsNotExist(err) {
		t.Errorf("the PID file is left: %v", err)
	}
}

func TestForkingWithoutPIDFile(t *testing.T) {
	b := newBench(t)
	b.load("one.service",
		"[Service]\nType=forking\nRestart=on-failure\nRestartSec=1h\nExecStart=/bin/sh -c 'setsid sleep 1000 & exit 0'\n")
	b.start("one.service")
	s := b.status("one.service")
	if !lives(s.PID) {
		t.Fatalf("the main process was not found: %+v", s)
	}
	b.kill(s.PID)
	b.await("one.service", "activating/auto-restart")

	b.load("two.service",
		fmt.Sprintf("[Service]\nType=forking\nExecStart=/bin/sh -c 'for i in 1 2; do setsid sleep 1000 & echo $$!; done > %[1]s/pids; exit 0'\n", b.dir))
	b.start("two.service")
	if s := b.status("two.service"); s.PID != 0 || s.Sub != "running" {
		t.Errorf("with two processes there is no telling: %+v", s)
	}
	for _, pid := range strings.Fields(b.read("pids")) {
		n, err := strconv.Atoi(pid)
		if err != nil {
			t.Fatal(err)
		}
		if b.status("two.service").Active != "active" {
			t.Error("it ended before its last process")
		}
		b.kill(n)
	}
	b.await("two.service", "inactive/dead")
}

func (b *bench) kill(pid int) {
	b.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		b.Fatal(err)
	}
}

func TestSuccessAndRestart(t *testing.T) {
	b := newBench(t)
	for i, test := range []struct{ how, lines, want, result, exit string }{
		{"exit 0", "Restart=no", "inactive/dead", "success", ""},
		{"exit 1", "Restart=no", "failed/failed", "exit-code", "exit 1"},
		{"exit 7", "SuccessExitStatus=7", "inactive/dead", "success", ""},
		{"exit 0", "RemainAfterExit=yes", "active/exited", "success", ""},
		{"exit 1", "RemainAfterExit=yes", "failed/failed", "exit-code", "exit 1"},
		{"kill -TERM $$$$", "Restart=on-failure", "inactive/dead", "success", ""},
		{"kill -KILL $$$$", "Restart=no", "failed/failed", "signal", "SIGKILL"},
		{"kill -KILL $$$$", "Restart=on-abnormal", "activating/auto-restart", "signal", "SIGKILL"},
		{"kill -KILL $$$$", "Restart=on-abort", "activating/auto-restart", "signal", "SIGKILL"},
		{"exit 1", "Restart=on-abnormal", "failed/failed", "exit-code", "exit 1"},
		{"exit 1", "Restart=on-failure", "activating/auto-restart", "exit-code", "exit 1"},
		{"exit 0", "Restart=on-success", "activating/auto-restart", "success", ""},
		{"exit 0", "Restart=always", "activating/auto-restart", "success", ""},
		{"exit 4", "Restart=always\nRestartPreventExitStatus=4", "failed/failed", "exit-code", "exit 4"},
		{"exit 4", "Restart=no\nRestartForceExitStatus=4", "activating/auto-restart", "exit-code", "exit 4"},
		{"exit 9", "ExecStopPost=/bin/false\nRestart=no", "failed/failed", "exit-code", "exit 9"},
	} {
		name := fmt.Sprintf("a%d.service", i)
		b.load(name, "[Service]\nRestartSec=1h\n"+test.lines+"\nExecStart=/bin/sh -c '"+test.how+"'\n")
		_ = b.Start(b.ctx, name) // the process may have failed before the start is done
		if s := b.await(name, test.want); s.Result != test.result || s.Exit != test.exit {
			t.Errorf("%s with %s: %+v, want result %s and %q", test.how, test.lines, s, test.result, test.exit)
		}
	}
}
