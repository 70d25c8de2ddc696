package managertest

import (
	"os"
	"strings"
	"syscall"

	"fleettop/units"
)

// testRefusedFile starts a unit whose EnvironmentFile= is a FIFO: reading it would never end.
func testRefusedFile(h *harness) {
	name, fifo := h.name("fifo.service"), h.scratch("fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		h.Fatal(err)
	}
	h.load(name, "[Service]\nEnvironmentFile="+fifo+"\nExecStart=/bin/sleep 1000\n")
	for range 2 {
		job := h.wantJobError(h.m.Start(h.ctx, name), "start", name, "resources")
		if !strings.Contains(job.Detail, fifo) || !strings.Contains(job.Detail, "a FIFO") {
			h.Errorf("the detail %q doesn't say that %s is a FIFO", job.Detail, fifo)
		}
		s := h.await(name, "failed", func(s units.Status) bool { return s.Active == "failed" })
		if s.Sub != "failed" || s.Result != "resources" || s.PID != 0 {
			h.Errorf("a unit whose start was refused: %+v", s)
		}
	}
	h.stop(name)
	if err := os.Remove(fifo); err != nil {
		h.Fatal(err)
	}
	if err := os.WriteFile(fifo, []byte("A=1\n"), 0o600); err != nil {
		h.Fatal(err)
	}
	h.start(name)
	if s := h.awaitActive(name); s.Result != "" && s.Result != "success" {
		h.Errorf("a unit that was cured: %+v", s)
	}
	h.stop(name)
	if s := h.await(name, "inactive",
		func(s units.Status) bool { return s.Active == "inactive" }); s.Result == "resources" {
		h.Errorf("a unit that was stopped: %+v", s)
	}
}

// testForeignPIDFile has a PID file that names a process of no unit, so that the start never ends by itself.
func testForeignPIDFile(h *harness) {
	name, pid := h.name("foreign.service"), h.scratch("pid")
	if err := os.WriteFile(pid, []byte("1\n"), 0o600); err != nil {
		h.Fatal(err)
	}
	h.load(name, "[Service]\nType=forking\nPIDFile="+pid+"\nTimeoutStartSec=1\nExecStart=/bin/sh -c 'sleep 1000 & exit 0'\n")
	job := h.wantJobError(h.m.Start(h.ctx, name), "start", name, "timeout")
	if !strings.Contains(job.Detail, "PIDFile="+pid) {
		h.Errorf("the detail %q doesn't name the PID file", job.Detail)
	}
	h.await(name, "failed", func(s units.Status) bool { return s.Active == "failed" })
}
