package managertest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"fleettop/units"
)

func itoa(n int) string { return strconv.Itoa(n) }

// sleeper is a service that runs until it is stopped; the description makes
// its content, and so its hash, differ.
func sleeper(description string) string {
	return "[Unit]\nDescription=" + description + "\n[Service]\nExecStart=/bin/sleep 1000\n"
}

// oneshot is a service that runs a shell line and is then over.
func oneshot(line string, more ...string) string {
	return "[Service]\nType=oneshot\nExecStart=/bin/sh -c '" + line + "'\n" + strings.Join(more, "\n") + "\n"
}

func testBatch(h *harness) {
	var pairs []string
	for i := range 10 {
		pairs = append(pairs, h.name(fmt.Sprintf("batch@%d.service", i)), sleeper(itoa(i)))
	}
	files := h.load(pairs...)
	snap := h.snapshot()
	for _, f := range files {
		s, ok := snap[f.Name]
		if !ok {
			h.Fatalf("%s is missing in the snapshot", f.Name)
		}
		if s.Load != "loaded" || s.Active != "inactive" || s.Sub != "dead" || s.PID != 0 || s.Hash != f.Hash {
			h.Errorf("%s after Load: %+v, want it loaded, inactive, dead, with hash %s", f.Name, s, f.Hash)
		}
	}
	// The same batch once more changes nothing.
	h.load(pairs...)
	for name, s := range h.snapshot() {
		if !s.Equal(snap[name]) {
			h.Errorf("loading the same files again made %+v out of %+v", s, snap[name])
		}
	}
	if errs, err := h.m.Load(h.ctx, nil); err != nil || len(errs) != 0 {
		h.Errorf("an empty batch: %v %v", errs, err)
	}
}

func testBadFile(h *harness) {
	good1, bad, good2 := h.name("good1.service"), h.name("bad.service"), h.name("good2.service")
	files := []units.UnitFile{file(h.T, good1, sleeper("1")), file(h.T, bad, h.opts.BadFile),
		file(h.T, good2, sleeper("2"))}
	for _, f := range files {
		h.held[f.Name] = true
	}
	errs, err := h.m.Load(h.ctx, files)
	if err != nil {
		h.Fatalf("a bad file among good ones failed the batch: %v", err)
	}
	if errs[bad] == nil || len(errs) != 1 {
		h.Fatalf("Load reported %v, want an error for %s alone", errs, bad)
	}
	if !strings.Contains(errs[bad].Error(), bad) {
		h.Errorf("the error %q doesn't name its unit", errs[bad])
	}
	h.start(good1)
	h.start(good2)
	if err := h.m.Start(h.ctx, bad); err == nil {
		h.Error("starting a unit that did not load succeeded")
	}
	for _, name := range []string{good1, good2} {
		h.awaitActive(name)
	}
	if s, ok := h.snapshot()[bad]; ok && (s.Load == "loaded" || s.Active == "active") {
		h.Errorf("the bad file is reported as %+v", s)
	}
	// Its repair is an ordinary load.
	h.load(bad, sleeper("repaired"))
	h.start(bad)
	h.awaitActive(bad)
}

func testRefusedNames(h *harness) {
	good := h.name("good.service")
	for _, name := range []string{"", ".", "..", "../" + good, "/etc/" + good, "a/" + good, "noend",
		h.name("template@.service"), good + "\x00"} {
		f := file(h.T, name, sleeper(""))
		errs, err := h.m.Load(h.ctx, []units.UnitFile{f})
		if err != nil {
			h.Fatalf("Load of %q failed as a whole: %v", name, err)
		}
		if errs[name] == nil {
			h.held[name] = true
			h.Errorf("Load took a unit named %q", name)
		}
	}
}

func testStartStop(h *harness) {
	name := h.name("web@1.service")
	before := time.Now().Add(-time.Second)
	h.load(name, sleeper(""))
	h.stop(name) // stopping what doesn't run succeeds
	h.start(name)
	s := h.awaitActive(name)
	if s.Sub != "running" || !runs(s.PID) || s.Load != "loaded" {
		h.Errorf("after Start: %+v, want it running with a process", s)
	}
	if s.Since.Before(before) || s.Since.After(time.Now().Add(time.Second)) {
		h.Errorf("it has been active since %v, which is not when it was started", s.Since)
	}
	h.start(name)
	if again := h.status(name); again.PID != s.PID {
		h.Errorf("starting what runs changed its process from %d to %d", s.PID, again.PID)
	}
	h.stop(name)
	after := h.await(name, "inactive", func(s units.Status) bool { return s.Active == "inactive" })
	if after.Sub != "dead" || after.PID != 0 || after.Load != "loaded" || runs(s.PID) {
		h.Errorf("after Stop: %+v (process %d runs: %v), want it loaded and dead", after, s.PID, runs(s.PID))
	}
	h.stop(name)
	h.start(name)
	if s := h.awaitActive(name); !runs(s.PID) {
		h.Errorf("started again: %+v", s)
	}
}

func testRestart(h *harness) {
	name := h.name("restart.service")
	h.load(name, sleeper(""))
	if err := h.m.Restart(h.ctx, name); err != nil { // of what doesn't run starts it
		h.Fatalf("Restart: %v", err)
	}
	first := h.awaitActive(name)
	if err := h.m.Restart(h.ctx, name); err != nil {
		h.Fatalf("Restart: %v", err)
	}
	second := h.await(name, "active with another process", func(s units.Status) bool {
		return s.Active == "active" && s.PID != 0 && s.PID != first.PID
	})
	if runs(first.PID) || !runs(second.PID) {
		h.Errorf("after Restart process %d runs: %v, process %d runs: %v", first.PID, runs(first.PID), second.PID,
			runs(second.PID))
	}
	if second.Restarts != 0 {
		h.Errorf("a restart by hand counted as %d automatic ones", second.Restarts)
	}
}

func testNotLoaded(h *harness) {
	name := h.name("nobody.service")
	for verb, do := range map[string]func(context.Context, string) error{"start": h.m.Start, "stop": h.m.Stop,
		"restart": h.m.Restart} {
		for _, n := range []string{name, "../" + name, ""} {
			if err := do(h.ctx, n); !errors.Is(err, units.ErrNotLoaded) {
				h.Errorf("%s of %q: %v, want ErrNotLoaded", verb, n, err)
			}
		}
	}
	if errs, err := h.m.Unload(h.ctx, []string{name, "../" + name, ""}); err != nil || len(errs) != 0 {
		h.Errorf("Unload of unknown names: %v %v", errs, err)
	}
}

func testFailing(h *harness) {
	name := h.name("failing.service")
	h.load(name, oneshot("exit 3"))
	job := h.wantJobError(h.m.Start(h.ctx, name), "start", name, "exit-code", "failed")
	if !strings.Contains(job.Detail, "3") {
		h.Errorf("the detail %q doesn't tell the exit status", job.Detail)
	}
	s := h.await(name, "failed", func(s units.Status) bool { return s.Active == "failed" })
	if s.Sub != "failed" || s.Result != "exit-code" || s.PID != 0 {
		h.Errorf("a unit that failed: %+v", s)
	}
	h.wantJobError(h.m.Restart(h.ctx, name), "restart", name, "exit-code", "failed")
	// A fault cured is a fault forgotten.
	h.load(name, oneshot("exit 0", "RemainAfterExit=yes"))
	h.start(name)
	if s := h.awaitActive(name); s.Result != "" && s.Result != "success" {
		h.Errorf("a unit that was cured: %+v", s)
	}
}

func testStartTimeout(h *harness) {
	name := h.name("slow.service")
	h.load(name, oneshot("exec sleep 1000", "TimeoutStartSec=300ms"))
	h.wantJobError(h.m.Start(h.ctx, name), "start", name, "timeout", "failed")
	if s := h.await(name, "failed", func(s units.Status) bool { return s.Active == "failed" }); s.Result != "timeout" {
		h.Errorf("a unit that took too long: %+v", s)
	}
}

func testCancelled(h *harness) {
	name := h.name("patient.service")
	h.load(name, oneshot("exec sleep 1000", "TimeoutStartSec=infinity"))
	ctx, cancel := context.WithTimeout(h.ctx, 100*time.Millisecond)
	defer cancel()
	if err := h.m.Start(ctx, name); !errors.Is(err, context.DeadlineExceeded) {
		h.Errorf("Start with a context that ends: %v", err)
	}
	h.stop(name)
	h.stop(name)
	h.await(name, "no longer activating", func(s units.Status) bool {
		return s.Active == "inactive" ||
			s.Active == "failed"
	})
	// Stop overtakes a start that is under way, and who waits for the start is told.
	waiting := make(chan error, 1)
	go func() { waiting <- h.m.Start(h.ctx, name) }()
	h.await(name, "activating", func(s units.Status) bool { return s.Active == "activating" })
	h.stop(name)
	select {
	case err := <-waiting:
		if err == nil {
			h.Error("a start overtaken by a stop reported success")
		}
	case <-time.After(patience):
		h.Error("a start overtaken by a stop never returned")
	}
	h.await(name, "no longer activating", func(s units.Status) bool {
		return s.Active == "inactive" ||
			s.Active == "failed"
	})
}

func testMany(h *harness) {
	const n = 40
	var pairs []string
	for i := range n {
		pairs = append(pairs, h.name(fmt.Sprintf("many@%d.service", i)), sleeper(itoa(i)))
	}
	files := h.load(pairs...)
	each := func(verb string, do func(context.Context, string) error) {
		h.Helper()
		var wg sync.WaitGroup
		for _, f := range files {
			wg.Go(func() {
				if err := do(h.ctx, f.Name); err != nil {
					h.Errorf("%s: %v", verb, err)
				}
			})
		}
		wg.Wait()
	}
	each("start", h.m.Start)
	pids := map[int]bool{}
	for _, f := range files {
		pids[h.awaitActive(f.Name).PID] = true
	}
	if len(pids) != n || pids[0] {
		h.Errorf("%d units have %d processes", n, len(pids))
	}
	each("stop", h.m.Stop)
	for pid := range pids {
		if runs(pid) {
			h.Errorf("process %d outlived its unit", pid)
		}
	}
}
