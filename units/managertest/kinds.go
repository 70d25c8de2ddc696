package managertest

import (
	"net"
	"os"
	"strings"
	"time"

	"fleettop/units"
)

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func testRemainAfterExit(h *harness) {
	name := h.name("remains.service")
	h.load(name, oneshot("exit 0", "RemainAfterExit=yes"))
	h.start(name)
	if s := h.awaitActive(name); s.Sub != "exited" || s.PID != 0 {
		h.Errorf("a oneshot that remains: %+v, want it active, exited", s)
	}
	h.stop(name)
	h.await(name, "inactive", func(s units.Status) bool { return s.Active == "inactive" })

	passing := h.name("passes.service")
	h.load(passing, oneshot("exit 0"))
	h.start(passing)
	h.await(passing, "inactive", func(s units.Status) bool { return s.Active == "inactive" && s.Sub == "dead" })
}

func testAutomaticRestarts(h *harness) {
	name := h.name("flapping.service")
	h.load(name, "[Unit]\nStartLimitIntervalSec=60\nStartLimitBurst=3\n"+
		"[Service]\nExecStart=/bin/sh -c 'exit 7'\nRestart=on-failure\nRestartSec=50ms\n")
	// Whether the first start counts as done depends on how fast the process dies.
	_ = h.m.Start(h.ctx, name)
	// Between two runs it may be seen failed, too.
	s := h.await(name, "failed for good after at least 2 restarts", func(s units.Status) bool {
		return s.Active == "failed" && s.Sub == "failed" && s.Restarts >= 2
	})
	if s.Result == "" || s.Result == "success" {
		h.Errorf("failed for good: %+v", s)
	}
	once := h.name("once.service")
	h.load(once, "[Service]\nExecStart=/bin/sh -c 'exit 7'\n")
	_ = h.m.Start(h.ctx, once)
	h.await(once, "failed with exit 7", func(s units.Status) bool { return s.Active == "failed" && s.Exit == "exit 7" })

	back := h.name("back.service")
	h.load(back, "[Service]\nExecStart=/bin/sleep 1000\nRestart=always\nRestartSec=50ms\n")
	h.start(back)
	first := h.awaitActive(back)
	kill(h, first.PID)
	s = h.await(back, "restarted", func(s units.Status) bool {
		return s.Active == "active" && s.PID != 0 &&
			s.PID != first.PID
	})
	if s.Restarts != 1 {
		h.Errorf("after one automatic restart it counts %d", s.Restarts)
	}
	h.stop(back)
	h.start(back)
	if s := h.awaitActive(back); s.Restarts != 0 {
		h.Errorf("started by hand it still counts %d restarts", s.Restarts)
	}
}

func testStartLimit(h *harness) {
	name, pin := h.name("limited.service"), h.name("pin.service")
	// systemd forgets a unit that neither runs nor failed, and its starts with
	// it, unless a unit that runs refers to it.
	h.load(pin, "[Unit]\nAfter="+name+"\n[Service]\nExecStart=/bin/sleep 1000\n")
	h.load(name, "[Unit]\nStartLimitIntervalSec=60\nStartLimitBurst=2\n[Service]\nType=oneshot\nExecStart=/bin/true\n")
	h.start(pin)
	h.start(name)
	h.start(name)
	job := h.wantJobError(h.m.Start(h.ctx, name), "start", name, "start-limit-hit", "failed")
	if !strings.Contains(strings.ToLower(job.Error()), "limit") {
		h.Errorf("%q doesn't speak of the limit", job)
	}
	if s := h.await(name, "failed",
		func(s units.Status) bool { return s.Active == "failed" }); s.Result != "start-limit-hit" {
		h.Errorf("over its start limit: %+v", s)
	}
}

func kill(h *harness, pid int) {
	h.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		h.Fatalf("killing process %d: %v", pid, err)
	}
}

func testInstall(h *harness) {
	name, target := h.name("installed.service"), "multi-user.target"
	plain := sleeper("not enabled")
	h.load(name, plain+"[Install]\nWantedBy="+target+"\n")
	if !h.opts.Enabled(name, target) {
		h.Errorf("%s has an [Install] section and is not enabled", name)
	}
	if s := h.status(name); s.Active != "inactive" {
		h.Errorf("enabling started it: %+v", s)
	}
	h.load(name, plain)
	if h.opts.Enabled(name, target) {
		h.Errorf("%s lost its [Install] section and is still enabled", name)
	}
	h.load(name, plain+"[Install]\nWantedBy="+target+"\n")
	h.start(name)
	h.unload(name)
	if h.opts.Enabled(name, target) {
		h.Errorf("%s was unloaded and is still enabled", name)
	}
}

func testTimer(h *harness) {
	timer, service, marker := h.name("tick.timer"), h.name("tick.service"), h.scratch("ticked")
	h.load(timer, "[Timer]\nOnActiveSec=100ms\nAccuracySec=1ms\n", service, oneshot("echo ticked > "+marker))
	h.start(timer)
	if s := h.awaitActive(timer); s.PID != 0 || s.Load != "loaded" {
		h.Errorf("a timer: %+v", s)
	}
	h.eventually("the timer starts its service", func() bool { return exists(marker) })
	h.stop(timer)
	h.await(timer, "inactive", func(s units.Status) bool { return s.Active == "inactive" })
}

func testSocket(h *harness) {
	socket, service := h.name("door.socket"), h.name("door.service")
	// A unix socket's path has 107 bytes; a test's own directory may be longer.
	dir, err := os.MkdirTemp("", "door")
	if err != nil {
		h.Fatal(err)
	}
	defer os.RemoveAll(dir)
	h.load(socket, "[Socket]\nListenStream="+dir+"/s\n", service, sleeper("behind the door"))
	h.start(socket)
	if s := h.awaitActive(socket); s.Sub != "listening" {
		h.Errorf("a socket: %+v, want it listening", s)
	}
	if s := h.status(service); s.Active != "inactive" {
		h.Errorf("nobody knocked, and its service is %+v", s)
	}
	conn, err := net.DialTimeout("unix", dir+"/s", patience)
	if err != nil {
		h.Fatalf("knocking: %v", err)
	}
	defer conn.Close()
	h.awaitActive(service)
	h.stop(socket)
	h.stop(service)
	if _, err := net.DialTimeout("unix", dir+"/s", time.Second); err == nil {
		h.Error("a stopped socket still listens")
	}
}

func testPath(h *harness) {
	path, service, watched, marker := h.name("seen.path"), h.name("seen.service"), h.scratch("watched"),
		h.scratch("marker")
	h.load(path, "[Path]\nPathExists="+watched+"\n", service, oneshot("rm -f "+watched+"; echo seen > "+marker))
	h.start(path)
	if s := h.awaitActive(path); s.Sub != "waiting" {
		h.Errorf("a path: %+v, want it waiting", s)
	}
	if err := os.WriteFile(watched, nil, 0o644); err != nil {
		h.Fatal(err)
	}
	h.eventually("the path starts its service", func() bool { return exists(marker) })
	h.stop(path)
}

func testTarget(h *harness) {
	target, service := h.name("all.target"), h.name("member.service")
	h.load(target, "[Unit]\nWants="+service+"\nAfter="+service+"\n", service, sleeper("member"))
	h.start(target)
	if s := h.awaitActive(target); s.Sub != "active" || s.PID != 0 {
		h.Errorf("a target: %+v", s)
	}
	h.awaitActive(service)
	h.stop(target)
	if s := h.status(service); s.Active != "active" {
		h.Errorf("stopping a target stopped what it merely wants: %+v", s)
	}
}

func testDependencies(h *harness) {
	broken, needs := h.name("broken.service"), h.name("needs.service")
	h.load(broken, oneshot("exit 1"), needs,
		"[Unit]\nRequires="+broken+"\nAfter="+broken+"\n[Service]\nExecStart=/bin/sleep 1000\n")
	job := h.wantJobError(h.m.Start(h.ctx, needs), "start", needs, "dependency")
	if job.Detail == "" {
		h.Error("a failed dependency without a word of explanation")
	}
	h.load(broken, oneshot("exit 0", "RemainAfterExit=yes"))
	h.start(needs)
	h.awaitActive(needs)
	h.stop(broken)
	h.await(needs, "inactive", func(s units.Status) bool { return s.Active == "inactive" })
}
