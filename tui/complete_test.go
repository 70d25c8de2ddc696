package tui

import (
	"slices"
	"syscall"
	"testing"
)

// TestCompletionWaitsForNoFIFO completes a path below what is no directory.
func TestCompletionWaitsForNoFIFO(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := syscall.Mkfifo("fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	if got := completeFile("fifo/x"); got != nil {
		t.Errorf("a FIFO has the files %q", got)
	}
	if got := completeFile("fi"); !slices.Equal(got, []string{"fifo"}) {
		t.Errorf("the directory has the files %q, expected the FIFO", got)
	}
}
