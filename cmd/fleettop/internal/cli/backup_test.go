package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fleettop/daemon/api/apitest"
)

// TestBackupAndRestore brings a cluster's units into a new one, twice, and into one that has others.
func TestBackupAndRestore(t *testing.T) {
	old := newShell(t, 2)
	old.file("a.service", service)
	old.file("b.service", service)
	old.must("start", "a.service")
	old.must("submit", "b.service")
	old.must("cordon", "n2")
	old.wants(old.must("backup", "night.backup"), "Wrote night.backup: 2 units, 2 machines and ")
	if info, err := os.Stat("night.backup"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	file, err := filepath.Abs("night.backup")
	if err != nil {
		t.Fatal(err)
	}
	if through := old.must("backup", "-"); through == "" || !strings.HasPrefix(through, "\x1f\x8b") {
		t.Errorf("by the standard output: %q", through)
	}
	dry := old.must("restore", "--dry-run", file)
	old.wants(dry, "Unit a.service is there already, launched", "Would restore 0 units; 2 there already")

	fresh := newShell(t, 2)
	fresh.wants(fresh.must("restore", "--dry-run", file), "Unit a.service would be restored, launched",
		"Unit b.service would be restored, inactive", "Machine n2: cordoned would be restored", "Would restore 2 units")
	if out := fresh.must("list-unit-files", "--no-legend"); out != "" {
		t.Errorf("after a dry run: %s", out)
	}
	fresh.wants(fresh.must("restore", file), "Unit a.service restored, launched", "Restored 2 units; 0 there already")
	apitest.Eventually(t, "a.service runs", func() bool {
		return strings.Contains(fresh.must("list-units", "--no-legend"), "running")
	})
	fresh.wants(fresh.must("list-machines", "--all"), "cordoned")
	fresh.wants(fresh.must("restore", file), "Restored 0 units; 2 there already")
	fresh.wants(fresh.must("events"), "restored 2 units from the backup that n1 made at")

	other := newShell(t, 1)
	other.file("b.service", service+"Nice=5\n")
	other.must("submit", "b.service")
	other.fails(1, "nothing was restored, as the cluster has 1 unit with other content: b.service", "restore", file)
	other.fails(1, "1 unit can't be restored", "restore", "--dry-run", file)
	if out := other.must("list-unit-files", "--no-legend"); strings.Contains(out, "a.service") {
		t.Errorf("a refused restore left: %s", out)
	}
	other.must("destroy", "b.service")
	other.wants(other.must("restore", "--inactive", file), "Unit a.service restored, inactive", "`fleettop start")

	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other.file("cut.backup", string(raw[:len(raw)/2]))
	other.fails(1, "cut.backup: the backup is cut off", "restore", "cut.backup")
	other.file("text.backup", "hello")
	other.fails(1, "text.backup: this is no backup of a fleettop cluster", "restore", "text.backup")
	other.fails(1, "missing.backup", "restore", "missing.backup")
	other.fails(1, "no such file", "backup", "missing/x.backup")
	other.fails(2, "one file", "restore")
	other.fails(1, "--read-only", "--read-only", "restore", file)
}
