package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/units"
)

// TestDrainNamesWhatHasNoOtherPlace: it stays, unless it was told to stop, which
// without a terminal to ask on takes --yes.
func TestDrainNamesWhatHasNoOtherPlace(t *testing.T) {
	s := newShell(t, 2)
	s.file("here.service", service+"\n[X-Fleet]\nMachineMetadata=rack=2\n")
	s.file("free.service", service)
	s.must("start", "here.service")
	code, out, errOut := s.try("drain", "--stop", "n2")
	if code != 1 || out != "" || !strings.Contains(errOut, "here.service: 2 machines: ") ||
		!strings.Contains(errOut, "--yes") || !strings.Contains(errOut, "nothing was done") {
		t.Errorf("drain --stop: %d\n%s%s", code, out, errOut)
	}
	if m := c2(s); m.Schedule != "" {
		t.Errorf("n2 is %q all the same", m.Schedule)
	}
	for range 2 {
		code, out, errOut = s.try("drain", "n2")
		if code != 1 || !strings.Contains(out, "Machine 20000000... (n2) is drained: 0 units moved, 1 is still there") ||
			!strings.Contains(errOut, "here.service is still there: 2 machines: ") {
			t.Errorf("drain: %d\n%s%s", code, out, errOut)
		}
	}
	s.wants(s.must("list-units"), "running")
	s.wants(s.must("explain", "here.service"), "it was to move, and stays: 2 machines: ")
	code, out, errOut = s.try("drain", "--stop", "--yes", "n2")
	if code != 0 || !strings.Contains(out, "Machine 20000000... (n2) is drained: 0 units moved") ||
		!strings.Contains(errOut, "stopped, as no other machine can take them: here.service") {
		t.Errorf("drain --stop --yes: %d\n%s%s", code, out, errOut)
	}
	if code, out, errOut = s.try("leave"); code != 0 || !strings.Contains(out, "is leaving the cluster") || errOut != "" {
		t.Errorf("leave with nothing that has no other place: %d\n%s%s", code, out, errOut)
	}
	s.must("uncordon", "n2")
	s.must("start", "free.service")
	var rows []scheduled
	_, out, _ = s.try("drain", "-o", "json", "--stop", "--yes", "n1", "n2")
	if err := json.Unmarshal([]byte(out), &rows); err != nil || len(rows) != 2 || len(rows[0].Moved.Nowhere) != 1 ||
		len(rows[1].Moved.Nowhere) != 1 {
		t.Errorf("drain -o json: %+v, %v\n%s", rows, err, out)
	}
	s.must("uncordon", "n1", "n2")
	_, out, _ = s.try("drain", "--no-wait", "n2")
	s.wants(out, "(n2) is drained: its units are being moved away")
	s.fails(1, "machine n9 not found", "drain", "n9")
	s.fails(1, "-1 units can't move at a time", "drain", "--parallel", "-1", "n2")
}

// TestDrainOfWhatFailsElsewhere: it runs on where it was, is named, and the others go.
func TestDrainOfWhatFailsElsewhere(t *testing.T) {
	s := newShell(t, 2)
	for _, name := range []string{"a.service", "b.service", "c.service", "d.service"} {
		s.file(name, service)
	}
	s.must("start", "a.service", "b.service", "c.service", "d.service")
	s.Break("b.service", units.Status{Active: "failed", Sub: "failed", Result: "exit-code"}, "")
	s.Break("a.service", units.Status{Active: "failed", Sub: "failed", Result: "exit-code"}, "")
	code, out, errOut := s.try("drain", "--parallel", "2", "n2")
	if code != 1 || !strings.Contains(out, "1 unit moved, 1 is still there") || !strings.Contains(errOut, "b.service is still there: it failed (exit-code) on n1") {
		t.Errorf("drain: %d\n%s%s", code, out, errOut)
	}
	if m := c2(s); m.Schedule != cluster.Drained || m.Drain.Parallel != 2 || m.Units != 1 {
		t.Errorf("%+v", m)
	}
}

func c2(s *shell) api.MachineInfo {
	s.t.Helper()
	list, err := s.Client().Machines(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range list.Machines {
		if m.ID == apitest.Machine(2).ID {
			return m
		}
	}
	s.t.Fatal("there is no n2")
	return api.MachineInfo{}
}

// TestProgressLine: on a terminal one line that is written over, elsewhere a line now and then.
func TestProgressLine(t *testing.T) {
	var out bytes.Buffer
	p := &progressLine{out: &out, verb: "drain", terminal: true}
	p.tell(&api.Progress{Done: 1, Total: 3, Text: "a.service is starting on n1\x1b[2J"})
	p.tell(&api.Progress{Done: 2, Total: 3})
	p.tell(nil)
	p.tell(nil)
	if got, want := out.String(),
		"\r\x1b[Kdrain: 1 of 3 done; a.service is starting on n1^[[2J\r\x1b[Kdrain: 2 of 3 done\r\x1b[K"; got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
	out.Reset()
	p = &progressLine{out: &out, verb: "drain"}
	for range 5 {
		p.tell(&api.Progress{Done: 1, Total: 3})
	}
	p.tell(nil)
	if got := out.String(); got != "drain: 1 of 3 done\n" {
		t.Errorf("%q", got)
	}
	out.Reset()
	p.quiet = time.Now().Add(time.Hour)
	p.tell(&api.Progress{Done: 1, Total: 3})
	if out.Len() > 0 {
		t.Errorf("a short act told %q", out.String())
	}
}

// TestDrainWithoutTheStore asks nothing that it couldn't do.
func TestDrainWithoutTheStore(t *testing.T) {
	s := newShell(t, 2)
	s.file("here.service", service+"\n[X-Fleet]\nMachineMetadata=rack=2\n")
	s.must("start", "./here.service")
	s.Store.SetReachable(false)
	apitest.Eventually(t, "the daemon notices", func() bool { _, live, _, _ := s.View.LastKnown(); return !live })
	for _, args := range [][]string{{"drain", "n2"}, {"drain", "--stop", "--yes", "n2"}, {"leave"}} {
		code, out, errOut := s.try(args...)
		if code != 1 || out != "" || !strings.Contains(errOut, "the cluster's store can't be reached") ||
			strings.Contains(errOut, "here.service") {
			t.Errorf("%v: %d\n%s%s", args, code, out, errOut)
		}
	}
	s.fails(1, "store", "cordon", "n2")
}
