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
	for arg, want := range map[string]string{"a": "a.service", "a.b": "a.b.service", "a.timer": "a.timer", "web@1": "web@1.service", "a*": "a*",
		"./here.service": "here.service", "no/where.service": "no/where.service"} {
		if got := Name(arg); got != want {
			t.Errorf("Name(%q) = %q, want %q", arg, got, want)
		}
	}
	if got := local(filepath.Join(".", "here")); got != "here.service" {
		t.Errorf("local: %q", got)
	}
}
