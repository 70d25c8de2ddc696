package atomicfile_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"fleettop/units/atomicfile"
)

func TestWriteReplacesWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	for _, content := range []string{"first", ""} {
		if err := atomicfile.Write(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		info, statErr := os.Stat(path)
		if err != nil || statErr != nil || string(got) != content || info.Mode() != 0o666 {
			t.Errorf("the file has %q, mode %v (%v, %v); expected %q, 0666", got, info.Mode(), err, statErr, content)
		}
	}
	if err := atomicfile.Write(filepath.Join(path, "below-a-file"), nil, 0o600); err == nil {
		t.Error("a file below a file was written")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d entries are left (%v), expected the file alone", len(entries), err)
	}
}

func TestReplaceLeavesNothingElse(t *testing.T) {
	dir, temp := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "state")
	for _, content := range []string{"first", ""} {
		if err := atomicfile.Replace(path, []byte(content), 0o666, temp); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		info, statErr := os.Stat(path)
		if err != nil || statErr != nil || string(got) != content || info.Mode() != 0o666 {
			t.Errorf("the file has %q, mode %v (%v, %v); expected %q, 0666", got, info.Mode(), err, statErr, content)
		}
	}
	if err := atomicfile.Replace(dir, nil, 0o600, temp); err == nil {
		t.Error("a directory was replaced by a file")
	}
	entries, err := os.ReadDir(temp)
	if err != nil || len(entries) != 0 {
		t.Errorf("%d temporary files are left (%v)", len(entries), err)
	}
}

func TestReplaceAllLeavesNothingElse(t *testing.T) {
	dir, temp := t.TempDir(), t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	if err := os.Mkdir(second, 0o700); err != nil {
		t.Fatal(err)
	}
	files := []atomicfile.File{{Path: first, Data: []byte("1")}, {Path: second, Data: []byte("2")}}
	if err := atomicfile.ReplaceAll(files, 0o600, temp); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("%d temporary files are left (%v)", len(left), err)
	}
	if err := os.Remove(second); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.ReplaceAll(files, 0o600, temp); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if got, err := os.ReadFile(f.Path); err != nil || string(got) != string(f.Data) {
			t.Errorf("%s has %q (%v), expected %q", f.Path, got, err, f.Data)
		}
	}
}

func TestIsTemp(t *testing.T) {
	for name, want := range map[string]bool{".new-123.tmp": true, "web.service": false, ".new-": false, ".tmp": false} {
		if got := atomicfile.IsTemp(name); got != want {
			t.Errorf("IsTemp(%q) = %v", name, got)
		}
	}
}

func TestTidy(t *testing.T) {
	all := []string{".key12345", ".new-77.tmp", ".notes.json9", "key", "notes.json", "log.1", ".hidden", ".5"}
	for _, c := range []struct {
		names []string
		stays []string
	}{
		{nil, []string{".5", ".hidden", "key", "log.1", "notes.json"}},
		{[]string{"key"}, []string{".5", ".hidden", ".new-77.tmp", ".notes.json9", "key", "log.1", "notes.json"}},
	} {
		dir := t.TempDir()
		for _, name := range all {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := atomicfile.Tidy(dir, c.names...); err != nil {
			t.Fatal(err)
		}
		var stays []string
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			stays = append(stays, e.Name())
		}
		if err != nil || !slices.Equal(stays, c.stays) {
			t.Errorf("tidied for %q: %q stays (%v), expected %q", c.names, stays, err, c.stays)
		}
	}
	if err := atomicfile.Tidy(filepath.Join(t.TempDir(), "nothing")); err != nil {
		t.Error(err)
	}
}
