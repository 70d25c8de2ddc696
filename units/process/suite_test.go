package process

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"fleettop/units"
	"fleettop/units/managertest"
)

// open returns a manager with its directories below dir.
func open(t testing.TB, dir string) *Manager {
	t.Helper()
	m, err := New(Options{Dir: filepath.Join(dir, "state"), LogDir: filepath.Join(dir, "log"), Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// scratch is a directory short enough for sockets; all that still runs there dies with the test.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "process")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Kill(filepath.Join(dir, "state")); err != nil {
			t.Error(err)
		}
		_ = os.RemoveAll(dir)
	})
	return dir
}

func TestContract(t *testing.T) {
	dir := scratch(t)
	managertest.Run(t, func(t *testing.T) units.Manager { return open(t, dir) }, managertest.Options{Targets: true})
}
