package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fleettop/daemon/keys"
)

// Values that would count as not given are refused, and nothing is begun.
func TestDaemonRefusesWhatIsEmpty(t *testing.T) {
	for _, c := range []struct{ flag, says string }{
		{"--join=", "--join names no machine"},
		{"--join=,", "--join names no machine"},
		{"--join= ", "--join names no machine"},
		{"--join=n1, ", "--join names no machine"},
		{"--port=0", "--port 0"},
		{"--daemon-grace=0s", "--daemon-grace 0s"},
		{"--probe-interval=0", "--probe-interval 0s"},
		{"--address=", "--address is given and empty"},
		{"--name=", "--name is given and empty"},
		{"--key-file=", "--key-file is given and empty"},
		{"--etcd-endpoints=", "--etcd-endpoints names no endpoint"},
	} {
		dir := t.TempDir()
		code, out, errOut := command(t, "", "daemon", "--address", "127.0.0.1", "--manager=process", "--state-dir",
			filepath.Join(dir, "state"), "--run-dir", filepath.Join(dir, "run"), c.flag)
		if code != exitUsage || !strings.Contains(errOut, c.says) {
			t.Errorf("%s: %d %s%s, expected %d and %q", c.flag, code, out, errOut, exitUsage, c.says)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s: it left %v", c.flag, left)
		}
	}
}

func TestErrorsForTheJournalAreOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"one":                             "one",
		"there is none.\nMake one:\n  so": "there is none. Make one: so",
		"first\nsecond\n\n":               "first; second",
	} {
		err := errors.New(text)
		got := forJournal{err}
		if got.Error() != want || !errors.Is(got, err) {
			t.Errorf("%q became %q, expected %q", text, got.Error(), want)
		}
	}
}

func TestFailedStartsArePaced(t *testing.T) {
	began := time.Now()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name   string
		socket string
		args   []string
		code   int
		began  time.Time
		ctx    context.Context
	}{
		{"not started by systemd", "", []string{"daemon"}, 1, began, t.Context()},
		{"a verb", "/run/notify", []string{"list-units"}, 1, began, t.Context()},
		{"left for good", "/run/notify", []string{"daemon"}, exitLeft, began, t.Context()},
		{"ran for long", "/run/notify", []string{"daemon"}, 1, began.Add(-time.Hour), t.Context()},
		{"told to stop", "/run/notify", []string{"daemon"}, 1, began, ended},
	} {
		t.Setenv("NOTIFY_SOCKET", c.socket)
		done := make(chan struct{})
		go func() {
			defer close(done)
			paceRestart(c.ctx, c.args, c.code, c.began)
		}()
		select {
		case <-done:
		case <-time.After(restartPace / 2):
			t.Errorf("%s: it waits", c.name)
		}
		<-done
	}
	t.Setenv("NOTIFY_SOCKET", "/run/notify")
	began = time.Now()
	paceRestart(t.Context(), []string{"--no-color", "daemon"}, 1, began.Add(time.Second-restartPace))
	if waited := time.Since(began); waited < time.Second*9/10 {
		t.Errorf("a start that failed at once waited %s only", waited)
	}
}

// join says which key it would replace before it uses the token.
func TestJoinAsksForAKeyOfAnotherCluster(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	had := keys.NewRing(keys.Generate())
	if err := had.Create(path); err != nil {
		t.Fatal(err)
	}
	token, err := keys.Generate().NewToken(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	join := []string{"join", token.Text(), "127.0.0.1:1", "--key-file", path, "--state-dir", dir}
	code, _, errOut := command(t, "", join...)
	if code != exitFailed || !strings.Contains(errOut, had.Primary().ID()) || !strings.Contains(errOut, "--yes") {
		t.Errorf("%d %s", code, errOut)
	}
	if code, _, errOut = command(t, "", append(join, "--yes")...); code != exitFailed ||
		!strings.Contains(errOut, "connection refused") {
		t.Errorf("with --yes: %d %s", code, errOut)
	}
	if got, err := keys.Load(path); err != nil || !got.Equal(had) {
		t.Errorf("the key is %s (%v), expected %s", got, err, had)
	}
}
