package tui

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"fleettop/tui/tuitest"
)

// remembering is a bench with a history in a file, as a console has it that was opened just now.
func remembering(t *testing.T, path string) *bench {
	t.Helper()
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 3))
	b.historyFile = path
	b.recall()
	return b
}

// TestWhatWasTypedIsThereInTheNextSession, each at its own prompt, and without searches in a log.
func TestWhatWasTypedIsThereInTheNextSession(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fleettop", "history")
	b := remembering(t, path)
	b.press("2", "/", "'web@1", "enter", ":", "'open web@2.service", "enter", "l", "/", "'a search", "enter")
	b = remembering(t, path)
	b.press("2", ":", "up")
	b.shows(":open web@2.service")
	b.press("esc", "/", "up")
	b.shows("/web@1")
	if _, found := b.history["search: "]; found {
		t.Error("a search in a log is kept")
	}
}

// TestAHistoryThatCannotBeKeptIsAWarning, told once, and the console goes on.
func TestAHistoryThatCannotBeKeptIsAWarning(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := remembering(t, "")
	b.historyFile = filepath.Join(file, "history")
	b.press("2", ":", "'cordon n1", "enter")
	b.shows("n1 takes no more units.")
	b.shows("What is typed at : and / isn't kept for the next session")
	b.clock = b.clock.Add(2 * noticeFor)
	b.press(":", "'uncordon n1", "enter")
	b.hides("isn't kept")
	b.press(":", "up")
	b.shows(":uncordon n1")

	b = remembering(t, "")
	b.historyFile = file
	b.say("Something else.", false)
	b.historyFailed(errors.New("permission denied"))
	b.shows("Something else. What is typed at : and / isn't kept for the next session: permission denied.")
}
