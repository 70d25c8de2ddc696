package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fleettop/cmd/fleettop/internal/demo"
	"fleettop/daemon/api/apitest"
)

// specimen is a unit file of the corpus. What becomes of it is said in its comments.
type specimen struct {
	path, name string
	content    []byte
	instance   string // what of it is loaded: the unit itself, or an instance of a template
	refused    string // what is said when it is submitted
	needs      string // what of it a machine without systemd can't do
	unplaced   string // why no machine of the corpus's cluster fits
}

// corpus reads a folder of unit files.
func corpus(t *testing.T, dir string) []specimen {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no unit files in %s: %v", dir, err)
	}
	var list []specimen
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		s := specimen{path: path, name: name, content: content, instance: strings.Replace(name, "@.", "@1.", 1)}
		for line := range strings.Lines(string(content)) {
			for comment, to := range map[string]*string{"# refused: ": &s.refused, "# needs systemd: ": &s.needs,
				"# unplaced: ": &s.unplaced} {
				if text, ok := strings.CutPrefix(line, comment); ok {
					*to = strings.TrimSpace(text)
				}
			}
		}
		list = append(list, s)
	}
	return list
}

// TestCorpus takes unit files as they are written for fleet through a real
// daemon with one machine: submitted, loaded in one go with those they belong to, read
// back byte for byte, destroyed.
func TestCorpus(t *testing.T) {
	folders, err := filepath.Glob("testdata/corpus/good/*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	t.Setenv(actAsFleettop, "1")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := demo.Start(self, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &shell{Cluster: &apitest.Cluster{Endpoint: "unix://" + cluster.Machines[0].Socket}, t: t}
	apitest.Eventually(t, "the daemon is up", func() bool {
		_, out, _ := s.try("list-machines", "--no-legend", "--fields=machine")
		return strings.TrimSpace(out) != ""
	})
	files := 0
	for _, dir := range folders {
		specimens := corpus(t, dir)
		files += len(specimens)
		t.Run(filepath.Base(dir), func(t *testing.T) { s.lives(t, specimens) })
	}
	if files < 60 {
		t.Errorf("%d unit files, fewer than 60", files)
	}
	for _, c := range corpus(t, "testdata/corpus/bad") {
		if code, out, errOut := s.try("submit", c.path); code != 1 || c.refused == "" || !strings.Contains(errOut, c.refused) {
			t.Errorf("submit %s: exit %d, want 1 and %q\n%s%s", c.path, code, c.refused, out, errOut)
		}
	}
	if left := s.must("list-unit-files", "--no-legend"); left != "" {
		t.Errorf("there is left\n%s", left)
	}
}

// lives takes unit files that belong together through their life.
func (s *shell) lives(t *testing.T, specimens []specimen) {
	s = &shell{Cluster: s.Cluster, t: t}
	var paths, names, instances []string
	for _, c := range specimens {
		paths, names, instances = append(paths, c.path), append(names, c.name), append(instances, c.instance)
	}
	s.must(append([]string{"submit"}, paths...)...)
	_, out, errOut := s.try(append([]string{"load"}, instances...)...)
	for _, c := range specimens {
		want := "Unit " + c.instance + " loaded on "
		switch {
		case bytes.Contains(c.content, []byte("\nGlobal=true\n")):
			want = "Triggered global unit " + c.instance + " load"
		case c.unplaced != "":
			want = "Unit " + c.instance + " is not placed: " + c.unplaced
		case c.needs != "":
			want = ": " + c.needs
		}
		if !slices.ContainsFunc(strings.Split(out+errOut, "\n"), func(line string) bool {
			return strings.Contains(line, c.instance) && strings.Contains(line, want)
		}) {
			t.Errorf("load %s: not a word of %q in\n%s%s", c.instance, want, out, errOut)
		}
		if cat := s.must("cat", c.name); !bytes.Equal([]byte(cat), c.content) {
			t.Errorf("cat %s:\n%q\nthe file has\n%q", c.name, cat, c.content)
		}
	}
	all := slices.Compact(slices.Sorted(slices.Values(append(names, instances...))))
	s.must(append([]string{"destroy"}, all...)...)
}
