package managertest

import (
	"context"
	"errors"
	"strings"
	"time"

	"fleettop/units"
)

func testWatchOrder(h *harness) {
	name, quiet := h.name("watched.service"), h.name("quiet.service")
	h.load(name, sleeper(""), quiet, sleeper("quiet"))
	ctx, cancel := context.WithTimeout(h.ctx, patience)
	defer cancel()
	list, changes, err := h.m.Watch(ctx)
	if err != nil {
		h.Fatalf("Watch: %v", err)
	}
	last := map[string]units.Status{}
	for _, s := range list {
		last[s.Name] = s
	}
	// Each step waits for its state, so no later state may be seen before it,
	// and every change must be one.
	until := func(what string, ok func(units.Status) bool) {
		h.Helper()
		for !ok(last[name]) {
			batch, open := <-changes
			if !open {
				h.Fatalf("the watch ended before %s was %s; last: %+v", name, what, last[name])
			}
			if len(batch) == 0 {
				h.Error("an empty batch of changes")
			}
			for _, s := range batch {
				if s.Equal(last[s.Name]) {
					h.Errorf("a change that changes nothing: %+v", s)
				}
				if s.Name == quiet {
					h.Errorf("a change of a unit nobody touched: %+v after %+v", s, last[quiet])
				}
				if s.Active == "active" && s.PID == 0 {
					h.Errorf("active without a process: %+v", s)
				}
				last[s.Name] = s
			}
		}
	}
	h.start(name)
	until("active", func(s units.Status) bool { return s.Active == "active" })
	started := last[name]
	h.stop(name)
	until("inactive", func(s units.Status) bool { return s.Active == "inactive" })
	if !last[name].Since.After(started.Since) {
		h.Errorf("inactive since %v, but active since %v", last[name].Since, started.Since)
	}
	h.start(name)
	until("active", func(s units.Status) bool { return s.Active == "active" })
	if last[name].PID == started.PID {
		h.Errorf("a second start has the process of the first")
	}
	h.load(name, sleeper("changed"))
	until("of the new content", func(s units.Status) bool { return s.Hash != started.Hash })
	added := h.name("added.service")
	h.load(added, sleeper(""))
	for last[added].Name == "" {
		batch, open := <-changes
		if !open {
			h.Fatal("the watch ended before it reported a unit loaded meanwhile")
		}
		for _, s := range batch {
			last[s.Name] = s
		}
	}
	if s := last[added]; s.Load != "loaded" || s.Active != "inactive" {
		h.Errorf("a unit loaded meanwhile: %+v", s)
	}
	h.unload(name)
	until("unloaded", func(s units.Status) bool { return s.Load == "not-found" })
}

func (h *harness) unload(names ...string) {
	h.Helper()
	errs, err := h.m.Unload(h.ctx, names)
	if err != nil || len(errs) != 0 {
		h.Fatalf("Unload: %v %v", errs, err)
	}
}

func testWatchEnds(h *harness) {
	closes := func(what string, changes <-chan []units.Status) {
		h.Helper()
		deadline := time.After(patience)
		for {
			select {
			case _, open := <-changes:
				if !open {
					return
				}
			case <-deadline:
				h.Fatalf("the channel was not closed when %s", what)
			}
		}
	}
	ctx, cancel := context.WithCancel(h.ctx)
	_, changes, err := h.m.Watch(ctx)
	if err != nil {
		h.Fatalf("Watch: %v", err)
	}
	cancel()
	closes("its context ended", changes)

	if _, _, err := h.m.Watch(ctx); err == nil {
		h.Error("Watch with a context that has ended succeeded")
	}
	_, changes, err = h.m.Watch(h.ctx)
	if err != nil {
		h.Fatalf("Watch: %v", err)
	}
	if err := h.m.Close(); err != nil {
		h.Errorf("Close: %v", err)
	}
	h.m = nil
	closes("the manager was closed", changes)
}

func testUnload(h *harness) {
	gone, stays := h.name("gone.service"), h.name("stays.service")
	h.load(gone, sleeper(""), stays, sleeper("stays"))
	h.start(gone)
	h.start(stays)
	pid, kept := h.awaitActive(gone).PID, h.awaitActive(stays).PID
	h.unload(gone, h.name("never-loaded.service"))
	if runs(pid) {
		h.Errorf("process %d outlived the unload of its unit", pid)
	}
	snap := h.snapshot()
	if s, ok := snap[gone]; ok {
		h.Errorf("an unloaded unit is still reported: %+v", s)
	}
	if s := snap[stays]; s.Active != "active" || s.PID != kept || !runs(kept) {
		h.Errorf("unloading another unit changed this one: %+v, its process was %d", s, kept)
	}
	if err := h.m.Start(h.ctx, gone); !errors.Is(err, units.ErrNotLoaded) {
		h.Errorf("Start after Unload: %v, want ErrNotLoaded", err)
	}
	h.reopen()
	if s, ok := h.snapshot()[gone]; ok {
		h.Errorf("a new manager finds a unit that was unloaded: %+v", s)
	}
	h.load(gone, sleeper("back"))
	h.start(gone)
	h.awaitActive(gone)
}

func testUnloadFailed(h *harness) {
	name := h.name("failed.service")
	h.load(name, oneshot("exit 1"))
	h.wantJobError(h.m.Start(h.ctx, name), "start", name, "exit-code", "failed")
	h.unload(name)
	h.load(name, oneshot("exit 1"))
	if s := h.status(name); s.Active != "inactive" || s.Sub != "dead" {
		h.Errorf("loaded anew, a unit remembers its failure: %+v", s)
	}
}

func testNewContent(h *harness) {
	name := h.name("kept.service")
	old := h.load(name, sleeper("one"))
	h.start(name)
	first := h.awaitActive(name)
	changed := h.load(name, sleeper("two"))
	s := h.status(name)
	if s.Hash != changed[0].Hash || s.Hash == old[0].Hash {
		h.Errorf("after new content the hash is %s, want %s", s.Hash, changed[0].Hash)
	}
	if s.Active != "active" || s.PID != first.PID || !runs(first.PID) || !s.Since.Equal(first.Since) {
		h.Errorf("new content turned %+v into %+v", first, s)
	}
	// The new content counts from the next start on.
	marker := h.scratch("marker")
	h.load(name, "[Service]\nExecStart=/bin/sh -c 'echo ran > "+marker+"; exec sleep 1000'\n")
	if err := h.m.Restart(h.ctx, name); err != nil {
		h.Fatalf("Restart: %v", err)
	}
	h.eventually("the restarted unit runs its new command", func() bool { return exists(marker) })
}

func testAdoption(h *harness) {
	names := []string{h.name("adopted@1.service"), h.name("adopted@2.service"), h.name("adopted@3.service")}
	files := h.load(names[0], sleeper("1"), names[1], sleeper("2"), names[2], oneshot("exit 4"))
	h.start(names[0])
	_ = h.m.Start(h.ctx, names[2])
	before := map[string]units.Status{
		names[0]: h.awaitActive(names[0]),
		names[1]: h.status(names[1]),
		names[2]: h.await(names[2], "failed", func(s units.Status) bool { return s.Active == "failed" }),
	}
	h.reopen()
	same := func(when string) {
		h.Helper()
		snap := h.snapshot()
		for i, name := range names {
			was, is := before[name], snap[name]
			if was.Active == "inactive" { // when a unit that never ran became inactive is nobody's concern
				was.Since = is.Since
			}
			if !is.Equal(was) || is.Hash != files[i].Hash {
				h.Errorf("%s %s is %+v, and was %+v", when, name, is, was)
			}
		}
	}
	same("found by a new manager,")
	if pid := before[names[0]].PID; !runs(pid) {
		h.Errorf("process %d didn't survive its manager", pid)
	}
	h.load(names[0], files[0].Content, names[1], files[1].Content, names[2], files[2].Content)
	same("loaded once more,")
	h.stop(names[0])
	h.await(names[0], "inactive", func(s units.Status) bool { return s.Active == "inactive" })
	if pid := before[names[0]].PID; runs(pid) {
		h.Errorf("process %d, adopted, outlived the stop of its unit", pid)
	}
	h.start(names[1])
	h.awaitActive(names[1])
}

// testLongNames runs units with the longest names there may be.
func testLongNames(h *harness) {
	long := func(prefix string) string {
		name := h.name(prefix)
		return name + strings.Repeat("x", units.MaxNameLength-len(name)-len(".service")) + ".service"
	}
	for _, name := range []string{long("long"), long("long@")} {
		if len(name) != units.MaxNameLength {
			h.Fatalf("the suite's own name has %d bytes", len(name))
		}
		h.load(name, sleeper("long"))
		h.start(name)
		first := h.awaitActive(name)
		if err := h.m.Restart(h.ctx, name); err != nil {
			h.Fatalf("Restart: %v", err)
		}
		second := h.await(name, "active with another process", func(s units.Status) bool {
			return s.Active == "active" && s.PID != 0 && s.PID != first.PID
		})
		h.reopen()
		if s := h.status(name); s.PID != second.PID || s.Active != "active" {
			h.Errorf("a new manager finds %+v, and its process was %d", s, second.PID)
		}
		h.stop(name)
		h.unload(name)
	}
}
