package tui

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fleettop/daemon/api"
	"fleettop/tui/screens"
	"fleettop/tui/tuitest"
)

// TestRemoteConsolesReachNoFile tries all that reads, writes or lists files.
func TestRemoteConsolesReachNoFile(t *testing.T) {
	b := newBench(t, 140, 30, false, false, tuitest.Cluster(3, 3))
	b.remote = true
	dir := t.TempDir()
	file := filepath.Join(dir, "web.service")
	if err := os.WriteFile(file, []byte(unitFile), 0o600); err != nil {
		t.Fatal(err)
	}
	b.press("2")
	for _, command := range []string{"submit " + file, "new " + file, "new fresh.service", "edit web@1.service", "save " +
		dir + "/out"} {
		b.press("esc", ":", "'"+command, "enter")
		b.shows(screens.NoFiles[:40])
		b.notice.text = ""
	}
	for _, key := range []string{"n", "e"} {
		b.press(key)
		b.shows(screens.NoFiles[:40])
		b.notice.text = ""
	}
	if list := b.completeCommand("submit " + dir + "/"); len(list) != 0 {
		t.Errorf("it lists files: %q", list)
	}
	b.press("5", "S")
	b.shows(screens.NoFiles[:40])
	if len(b.client.acted) > 0 {
		t.Errorf("it sent %+v", b.client.acted)
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 1 {
		t.Errorf("there are now %q", left)
	}
}

// poisoned is a daemon whose stream has what can't be folded in.
type poisoned struct{ *fakeClient }

func (poisoned) Watch(_ context.Context, _ api.WatchOptions, f func(*api.State, *api.Line) error) error {
	if err := f(nil, tuitest.Cluster(3, 3)); err != nil {
		return err
	}
	return f(nil, nil)
}

// TestACrashOfTheFeedEndsTheConsole, and nothing but the console.
func TestACrashOfTheFeedEndsTheConsole(t *testing.T) {
	in, keys := io.Pipe()
	defer keys.Close()
	sizes := make(chan Size, 1)
	sizes <- Size{80, 24}
	out := &tube{wrote: make(chan struct{}, 1)}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := Run(ctx, Options{Client: poisoned{&fakeClient{}}, In: in, Out: out, Sizes: sizes, Env: elsewhere})
	if err == nil || !strings.Contains(err.Error(), "crashed") {
		t.Errorf("it ended with %v", err)
	}
	if _, text := out.take(); !strings.HasSuffix(text, "\x1b[?25h") {
		t.Errorf("the terminal was left with %q", text[max(0, len(text)-40):])
	}
}
