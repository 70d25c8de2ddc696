package cli

import (
	"os"
	"strings"
	"testing"

	"fleettop/daemon/api"
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
		"big.service": "256 KiB", "binary.service": "binary.service", "empty.service": "empty.service", "typo.service": "MachineMetadata",
		"conflicting.service": "Global", "open.service": "open.service:1:", "folder.service": "folder.service", "a/b.service": "a/b.service", "none.service": "none.service",
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
