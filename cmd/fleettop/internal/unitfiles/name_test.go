package unitfiles

import (
	"os"
	"path/filepath"
	"testing"
)

func TestName(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("here.service", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]string{"a": "a.service", "a.b": "a.b.service", "a.timer": "a.timer",
		"web@1": "web@1.service", "a*": "a*",
		"./here.service":   "here.service",
		"no/where.service": "where.service", "/abs/web@1": "web@1.service", "no/*": "no/*",
		"no/web@*.service": "no/web@*.service"} {
		if got := Name(arg); got != want {
			t.Errorf("Name(%q) = %q, want %q", arg, got, want)
		}
	}
	if err := os.Mkdir("dir", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("dir/web@.service", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]string{"dir/web@1.service": "dir/web@.service", "dir/web@1": "dir/web@.service",
		"dir/web@.service": "dir/web@.service", "web@1.service": "", "here@1.service": "", "dir/none.service": ""} {
		if got := Find(arg); got != want {
			t.Errorf("Find(%q) = %q, want %q", arg, got, want)
		}
	}
	if got := local(filepath.Join(".", "here")); got != "here.service" {
		t.Errorf("local: %q", got)
	}
}
