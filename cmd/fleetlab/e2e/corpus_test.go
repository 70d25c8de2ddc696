//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fleettop/cmd/fleetlab/lab"
)

// TestCorpus has systemd load the unit files of the corpus, those that belong
// together at once, and forget them again.
func TestCorpus(t *testing.T) {
	f := newFleet(t, 1, setup{unwatched: true, options: func(*lab.Machine) string { return "--metadata=rack=1" }})
	m := f.machines[0]
	folders, err := filepath.Glob("../../fleettop/internal/cli/testdata/corpus/good/*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	began := strings.TrimSpace(f.on(m, "date", "+%s"))
	loaded := 0
	for _, dir := range folders {
		paths, err := filepath.Glob(filepath.Join(dir, "*"))
		f.must(err)
		files, names, instances, placed := map[string]string{}, []string{}, []string{}, []string{}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			f.must(err)
			name := filepath.Base(path)
			files[name] = string(content)
			instance := strings.Replace(name, "@.", "@1.", 1)
			names = append(names, name)
			if instance != name {
				instances = append(instances, instance)
			}
			if !strings.Contains("\n"+string(content), "\n# unplaced: ") {
				placed = append(placed, instance)
			}
		}
		f.verb(m, append([]string{"submit"}, f.write(m, files)...)...)
		f.verb(m, append([]string{"load"}, placed...)...)
		for _, name := range placed {
			f.eventually(name+" to be loaded", soon, func() error {
				return says(f.on(m, "systemctl", "show", "--property=LoadState,FragmentPath", name), "LoadState=loaded",
					"FragmentPath=/run/")
			})
			loaded++
		}
		for _, name := range names {
			if cat, err := m.Exec(f.ctx, "fleettop", "cat", name); err != nil || cat != files[name] {
				t.Errorf("cat %s: %v\n%q\nthe file has\n%q", name, err, cat, files[name])
			}
		}
		f.verb(m, slices.Concat([]string{"destroy"}, names, instances)...)
	}
	if left := f.on(m, "sh", "-c", "ls /run/fleettop/units /run/systemd/system"); strings.Contains(left, ".") {
		t.Errorf("destroyed, there are left\n%s", left)
	}
	if out := f.on(m, "journalctl", "--no-pager", "--since=@"+began, "--identifier=fleettop"); strings.Contains(out, "level=WARN") {
		t.Errorf("the daemon warned:\n%s", out)
	}
	t.Logf("%d units of %d folders", loaded, len(folders))
}
