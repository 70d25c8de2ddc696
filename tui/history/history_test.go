package history

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// typed adds lines, each with its prompt before it.
func typed(t *testing.T, path string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if err := Add(path, Line{l[:1], l[1:]}); err != nil {
			t.Fatal(err)
		}
	}
}

func loaded(t *testing.T, path string) (list []string) {
	t.Helper()
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range got {
		list = append(list, l.Prompt+l.Text)
	}
	return list
}

// TestLinesAreThereNextTime, once each, the newest last, and only for their owner.
func TestLinesAreThereNextTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "fleettop", "history")
	typed(t, path, ":stop web@*", "/web", ":drain n1", ":stop web@*", "/~w1 !db")
	if got, want := loaded(t, path), []string{"/web", ":drain n1", ":stop web@*", "/~w1 !db"}; !slices.Equal(got, want) {
		t.Errorf("there is %q, want %q", got, want)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the file's mode is %v (%v), want 0600", info.Mode(), err)
	}
	for i := range Most + 20 {
		typed(t, path, fmt.Sprintf("/unit=web@%d", i))
	}
	got := loaded(t, path)
	if len(got) != Most || got[0] != "/unit=web@20" {
		t.Errorf("%d lines are kept, the first %q", len(got), got[0])
	}
}

// TestWhatIsNotKept: searches in logs, lines that begin with a space, and those that look like secrets.
func TestWhatIsNotKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	for _, l := range []Line{{"search: ", "web"}, {":", " drain n1"}, {"/", "password=hunter2"}, {"/", "Token: abc"},
		{":", "cluster https://ann:pw@n1"}, {":", "a\nb"}, {":", "\x1b[2J"}, {":", strings.Repeat("x", lineMost+1)}, {":", " "},
		{"/", "Authorization: Bearer abc"}} {
		if err := Add(path, l); err != nil {
			t.Fatal(err)
		}
	}
	typed(t, path, ":restart token-service", "/secret")
	if got := loaded(t, path); !slices.Equal(got, []string{":restart token-service", "/secret"}) {
		t.Errorf("there is %q", got)
	}
}

// TestConsolesWriteAtOnce, and no line is lost.
func TestConsolesWriteAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	var consoles sync.WaitGroup
	for c := range 8 {
		consoles.Go(func() {
			for i := range 20 {
				if err := Add(path, Line{":", fmt.Sprintf("open web@%d-%d", c, i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	consoles.Wait()
	if got := loaded(t, path); len(got) != 8*20 {
		t.Errorf("%d lines of %d are there", len(got), 8*20)
	}
}

// TestHostileFiles: what is no history is passed over, and what isn't a regular file is left alone.
func TestHostileFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "history")
	if err := os.WriteFile(path, []byte("no prompt\n:good\n/\x1b]0;x\a\n:\xff\n\n/fine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := loaded(t, path); !slices.Equal(got, []string{":good", "/fine"}) {
		t.Errorf("there is %q", got)
	}
	typed(t, path, ":new")
	if got := loaded(t, path); !slices.Equal(got, []string{":good", "/fine", ":new"}) {
		t.Errorf("there is %q", got)
	}

	null := filepath.Join(dir, "null")
	if err := os.Symlink(os.DevNull, null); err != nil {
		t.Fatal(err)
	}
	typed(t, null, ":new")
	if target, err := os.Readlink(null); err != nil || target != os.DevNull || len(loaded(t, null)) > 0 {
		t.Errorf("a link to %s leads to %q (%v)", os.DevNull, target, err)
	}

	elsewhere, link := filepath.Join(dir, "elsewhere"), filepath.Join(dir, "link")
	if err := os.WriteFile(elsewhere, []byte(":old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}
	typed(t, link, ":new")
	if got := loaded(t, elsewhere); !slices.Equal(got, []string{":old", ":new"}) {
		t.Errorf("behind a link there is %q", got)
	}
	if err := Add(filepath.Join(path, "below-a-file"), Line{":", "x"}); err == nil {
		t.Error("a file below a file was written")
	}
}

func TestPath(t *testing.T) {
	t.Setenv("HOME", "/home/ann")
	for state, want := range map[string]string{"/srv/state": "/srv/state/fleettop/history",
		"": "/home/ann/.local/state/fleettop/history", "relative": "/home/ann/.local/state/fleettop/history"} {
		t.Setenv("XDG_STATE_HOME", state)
		if got, err := Path(); err != nil || got != want {
			t.Errorf("with XDG_STATE_HOME=%q it is %q (%v), want %q", state, got, err, want)
		}
	}
	t.Setenv("HOME", "")
	t.Setenv("XDG_STATE_HOME", "")
	if _, err := Path(); err == nil {
		t.Error("without a home there is a path")
	}
}
