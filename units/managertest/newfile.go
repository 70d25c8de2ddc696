package managertest

import (
	"os"
	"strings"

	"fleettop/units"
)

// A unit that its manager has in mind for whatever reason starts with its new
// file all the same: the old one would start, too, and as if all were well.

// says is a service that writes a word when it starts, and runs on.
func says(word, out string, more ...string) string {
	return strings.Join(more, "\n") + "\n[Service]\nExecStart=/bin/sh -c 'echo " + word + " >> " + out +
		"; exec sleep 1000'\n"
}

// saysOnce is a service that writes a word and ends with a status.
func saysOnce(word, out, status string) string {
	return oneshot("echo " + word + " >> " + out + "; exit " + status)
}

// wantSaid checks what a unit wrote in all its starts.
func (h *harness) wantSaid(out, words string) {
	h.Helper()
	h.eventually(words+" in "+out, func() bool {
		got, err := os.ReadFile(out)
		return err == nil && strings.Join(strings.Fields(string(got)), " ") == words
	})
}

func testNewFileWhileRunning(h *harness) {
	name, out := h.name("new-running.service"), h.scratch("out")
	h.load(name, says("old", out))
	h.start(name)
	h.wantSaid(out, "old")
	h.load(name, says("new", out))
	if err := h.m.Restart(h.ctx, name); err != nil {
		h.Fatalf("Restart: %v", err)
	}
	h.wantSaid(out, "old new")
}

func testNewFileAfterFailure(h *harness) {
	name, out := h.name("new-failed.service"), h.scratch("out")
	h.load(name, saysOnce("old", out, "1"))
	h.wantJobError(h.m.Start(h.ctx, name), "start", name, "exit-code", "failed")
	h.load(name, saysOnce("new", out, "0"))
	h.start(name)
	h.wantSaid(out, "old new")
}

func testNewFileAfterStop(h *harness) {
	name, out := h.name("new-stopped.service"), h.scratch("out")
	for i, word := range []string{"1", "2", "3"} { // each as soon as the one before has ended
		h.load(name, says(word, out))
		h.start(name)
		h.wantSaid(out, []string{"1", "1 2", "1 2 3"}[i])
		h.stop(name)
	}
}

func testNewFileWhileReferred(h *harness) {
	name, pin, out := h.name("new-referred.service"), h.name("new-pin.service"), h.scratch("out")
	h.load(pin, "[Unit]\nAfter="+name+"\nWants="+h.name("never.service")+"\n[Service]\nExecStart=/bin/sleep 1000\n")
	h.start(pin) // refers to a unit that has no file yet
	h.load(name, says("old", out))
	h.start(name)
	h.wantSaid(out, "old")
	h.stop(name)
	h.load(name, says("new", out))
	h.start(name)
	h.wantSaid(out, "old new")
}

func testNewFileWhileTimed(h *harness) {
	timer, name, out := h.name("new-timed.timer"), h.name("new-timed.service"), h.scratch("out")
	h.load(timer, "[Timer]\nOnActiveSec=1h\n", name, saysOnce("old", out, "0"))
	h.start(timer)
	h.awaitActive(timer)
	h.load(name, saysOnce("new", out, "0"))
	h.start(name)
	h.wantSaid(out, "new")
}

func testNewFileWhileWatched(h *harness) {
	path, name, watched, out := h.name("new-watched.path"), h.name("new-watched.service"), h.scratch("watched"),
		h.scratch("out")
	h.load(path, "[Path]\nPathExists="+watched+"\n", name, oneshot("rm -f "+watched+"; echo old >> "+out))
	h.start(path)
	h.awaitActive(path)
	h.load(name, oneshot("rm -f "+watched+"; echo new >> "+out))
	if err := os.WriteFile(watched, nil, 0o644); err != nil {
		h.Fatal(err)
	}
	h.wantSaid(out, "new")
}

func testNewFileBehindSocket(h *harness) {
	socket, name, out := h.name("new-behind.socket"), h.name("new-behind.service"), h.scratch("out")
	h.load(socket, "[Socket]\nListenStream=/run/"+h.name("new-behind")+"\n", name, says("old", out))
	h.start(socket)
	h.awaitActive(socket)
	h.load(name, says("new", out))
	h.start(name)
	h.wantSaid(out, "new")
	h.stop(socket)
}

// testNewFileAfterUnload gives a name that was unloaded to another unit.
func testNewFileAfterUnload(h *harness) {
	name, out := h.name("new-again.service"), h.scratch("out")
	for i, word := range []string{"1", "2", "3"} {
		h.load(name, says(word, out))
		h.start(name)
		h.wantSaid(out, []string{"1", "1 2", "1 2 3"}[i])
		h.unload(name)
		if s, held := h.snapshot()[name]; held {
			h.Fatalf("unloaded, it is %+v", s)
		}
	}
	h.load(name, sleeper("another"))
	h.await(name, "loaded", func(s units.Status) bool { return s.Load == "loaded" && s.Active == "inactive" })
}
