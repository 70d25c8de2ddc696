package cli

import (
	"os"
	"strings"
	"testing"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
)

func TestLocalFiles(t *testing.T) {
	s := newShell(t, 1)
	s.file("a.service", service)
	s.must("start", "a.service")
	s.must("verify", "a.service")
	s.file("a.service", service+"Nice=5\n")
	s.fails(1, "--replace", "submit", "a.service")
	s.fails(1, "differs from the one submitted", "verify", "a.service")
	code, out, errOut := s.try("start", "a.service")
	if code != 0 || !strings.Contains(errOut, "WARNING: ") || !strings.Contains(out, "launched") {
		t.Errorf("start with a differing file: %d\n%s%s", code, out, errOut)
	}
	if got := s.must("cat", "a.service"); got != service {
		t.Errorf("cat: %q", got)
	}
	s.must("start", "--replace", "a.service")
	if got := s.must("cat", "a"); got != service+"Nice=5\n" {
		t.Errorf("cat after --replace: %q", got)
	}
	s.file("new.service", service)
	s.fails(1, "not submitted", "verify", "new.service")
}

func TestBadFiles(t *testing.T) {
	s := newShell(t, 1)
	s.file("good.service", service)
	s.file("big.service", service+strings.Repeat("#", 1<<20))
	s.file("binary.service", "\x7fELF\x00\xff\xfe")
	s.file("empty.service", "")
	s.file("typo.service", service+"[X-Fleet]\nMachineMetdata=a=b\n")
	s.file("conflicting.service", service+"[X-Fleet]\nGlobal=true\nMachineOf=good.service\n")
	s.file("open.service", "[Service\n")
	if err := os.Mkdir("folder.service", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("good.service.d", 0o700); err != nil {
		t.Fatal(err)
	}
	s.file("good.service.d/10-a.conf", service)
	for name, says := range map[string]string{
		"good.service.d/10-a.conf": "write its settings into the unit file itself", "./good.service.d": "is a directory",
		"big.service": "256 KiB", "binary.service": "binary.service", "empty.service": "empty.service",
		"typo.service":        "MachineMetadata",
		"conflicting.service": "Global", "open.service": "open.service:1:", "folder.service": "folder.service",
		"a/b.service": "a/b.service", "none.service": "none.service",
	} {
		s.fails(1, says, "submit", name)
		s.fails(1, says, "verify", name)
		code, out, _ := s.try("submit", name, "good.service")
		if code != 1 || !strings.Contains(out, "Unit good.service inactive") {
			t.Errorf("%s kept a good one from being submitted: %d\n%s", name, code, out)
		}
		s.must("destroy", "good.service")
	}
	if out := s.must("list-unit-files", "--no-legend"); out != "" {
		t.Errorf("bad files are known:\n%s", out)
	}
}

func TestBatches(t *testing.T) {
	big := strings.Repeat("x", 3<<20)
	req := api.ActionRequest{Verb: api.Submit, Units: []string{"a"}}
	for range 7 {
		req.Files = append(req.Files, api.File{Content: big})
	}
	n, units := 0, 0
	for _, b := range batches(req) {
		n += len(b.Files)
		units += len(b.Units)
		if len(b.Files) == 0 || len(b.Files) > 2 {
			t.Errorf("a batch of %d files", len(b.Files))
		}
	}
	if n != 7 || units != 1 {
		t.Errorf("%d files and %d units in all batches", n, units)
	}
}

// TestPaths: a verb takes a path for the unit of its last part, whether there is a file or not.
func TestPaths(t *testing.T) {
	s := newShell(t, 1)
	s.file("a.service", service)
	s.must("start", "a.service")
	for _, verb := range []string{"status", "cat", "explain", "restart", "stop", "load", "start"} {
		s.must(verb, "no/where/a.service")
	}
	s.wants(s.must("list-units", "no/where/a.service")+s.must("list-unit-files", "/no/a"), "a.service")
	s.must("unload", "/no/a")
	s.must("destroy", "../a.service")
	s.fails(1, "there is no file no/where/a.service", "start", "no/where/a.service")
	s.fails(1, "there is no file no/where/a.service", "load", "no/where/a.service")
	s.must("start", "a.service")
	// A pattern that the shell left as it is names no units.
	s.fails(1, `no unit matches "no/*"`, "destroy", "no/*")
	s.wants(s.must("list-unit-files"), "a.service")
}

// TestInstanceBesideItsTemplate: the template's file in the same directory is meant by every verb that takes files.
func TestInstanceBesideItsTemplate(t *testing.T) {
	s := newShell(t, 1)
	if err := os.Mkdir("dir", 0o700); err != nil {
		t.Fatal(err)
	}
	s.file("dir/web@.service", service)
	s.fails(1, "Unit web@1.service is valid, but not submitted", "verify", "dir/web@1.service")
	s.wants(s.must("submit", "dir/web@1.service"), "Unit web@1.service inactive")
	s.wants(s.must("load", "dir/web@2.service"), "Unit web@2.service loaded")
	s.wants(s.must("start", "dir/web@3"), "Unit web@3.service launched")
	s.wants(s.must("verify", "dir/web@1.service"), "Unit web@1.service verified successfully")
	s.file("dir/web@.service", otherService)
	s.fails(1, "differs from the one submitted", "verify", "dir/web@1.service")
	// Without a file the cluster's template is meant, as for a name.
	if code, _, errOut := s.try("submit", "--replace", "dir/web@.service"); code != 0 {
		t.Fatal(errOut)
	}
	s.wants(s.must("submit", "no/web@9.service"), "Unit web@9.service inactive")
	s.fails(1, "there is no file no/other@1.service", "submit", "no/other@1.service")
}

// TestMetadataColumn: as fleet prints it, so that scripts read it.
func TestMetadataColumn(t *testing.T) {
	s := newShell(t, 2)
	for n, metadata := range []map[string]string{{"ssd": "true", "rack": "4"}, nil} {
		if err := s.Store.UpdateMachine(t.Context(), apitest.Machine(n+1).ID, func(m *cluster.Machine) error {
			m.Metadata = metadata
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	const want = "MACHINE      IP          METADATA\n10000000...  198.18.1.1  rack=4,ssd=true\n20000000...  198.18.1.2  -\n"
	apitest.Eventually(t, "the table to be "+want, func() bool { return s.must("list-machines") == want })
}

// TestSubmitReplaceSaysWhatItDid: of a unit that runs, that it was restarted; of one that is loaded, that it stays so.
func TestSubmitReplaceSaysWhatItDid(t *testing.T) {
	s := newShell(t, 1)
	s.file("a.service", service)
	s.must("start", "a.service")
	on := machineOf(s, "a.service")
	s.file("a.service", otherService)
	if out := s.must("submit", "--replace", "a.service"); out != "Unit a.service replaced, restarted on "+on+"\n" {
		t.Errorf("of one that runs: %s", out)
	}
	s.must("stop", "a.service")
	s.file("a.service", service)
	s.wants(s.must("submit", "--replace", "--no-block", "a.service"), "Unit a.service replaced; it stays loaded")
	s.must("start", "a.service")
	s.file("a.service", otherService)
	s.wants(s.must("submit", "--replace", "--no-block", "a.service"),
		"Unit a.service replaced; it is being restarted where it runs")
	s.must("destroy", "a.service")
	s.must("submit", "a.service")
	s.file("a.service", service)
	if out := s.must("submit", "--replace", "a.service"); out != "Unit a.service replaced\n" {
		t.Errorf("of one that is on no machine: %s", out)
	}
}
