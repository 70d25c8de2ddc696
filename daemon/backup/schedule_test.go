package backup

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
)

func TestDueAndKept(t *testing.T) {
	now := time.Date(2026, 11, 27, 13, 0, 0, 0, time.UTC)
	name := func(ago time.Duration) string { return "p-" + now.Add(-ago).Format(timeInName) + suffix }
	for what, c := range map[string]struct {
		names []string
		want  time.Duration
	}{
		"the first":              {nil, 0},
		"an old one":             {[]string{name(48 * time.Hour), name(25 * time.Hour)}, -time.Hour},
		"a new one":              {[]string{name(25 * time.Hour), name(time.Hour)}, 23 * time.Hour},
		"one of a time to come":  {[]string{name(25 * time.Hour), name(-300 * time.Hour)}, -time.Hour},
		"a name without a time":  {[]string{name(25 * time.Hour), "p-x" + suffix}, -time.Hour},
		"only of a time to come": {[]string{name(-300 * time.Hour)}, 0},
	} {
		if got := due(c.names, "p-", 24*time.Hour, 0, now); got != c.want {
			t.Errorf("%s: due in %v, expected %v", what, got, c.want)
		}
	}
	names := []string{"1", "2", "3", "9"}
	if got := tooMany(names, "3", 2); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("too many of %v, after 3 was made: %v", names, got)
	}
	if got := tooMany(names, "1", 1); slices.Contains(got, "1") || len(got) != 3 {
		t.Errorf("too many, after 1 was made: %v", got)
	}
}

// recorder is a timeline.
type recorder struct {
	mu    sync.Mutex // guards texts
	texts []string
}

func (r *recorder) Record(_ context.Context, list ...cluster.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range list {
		r.texts = append(r.texts, e.Text)
	}
	return nil
}

// TestSchedule makes backups, keeps some, and says once where it can't.
func TestSchedule(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "backups")
	store := memstore.New().Open()
	defer store.Close()
	said := &recorder{}
	s := &Schedule{Dir: dir, Every: time.Second, Keep: 2, Machine: "m1", Name: "n1", Store: store, Timeline: said,
		Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	files := func() (list []string) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			list = append(list, e.Name())
		}
		return list
	}
	until := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no %s: %v, said %v", what, files(), said.texts)
			}
		}
	}
	seen := map[string]bool{}
	until("third backup", func() bool {
		for _, f := range files() {
			if strings.HasSuffix(f, suffix) && strings.HasPrefix(f, "fleettop-") {
				seen[f] = true
			}
		}
		return len(seen) >= 3
	})
	until("end of the oldest", func() bool { return len(files()) <= 2 })
	last, err := os.Open(filepath.Join(dir, files()[len(files())-1]))
	if err != nil {
		t.Fatal(err)
	}
	defer last.Close()
	if c, err := Read(last); err != nil || c.Machine != "n1" {
		t.Errorf("%+v, %v", c, err)
	}
	if info, err := last.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode: %v, %v", info.Mode(), err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // what is no directory
		t.Fatal(err)
	}
	words := func(text string) func() bool {
		return func() bool {
			said.mu.Lock()
			defer said.mu.Unlock()
			return slices.ContainsFunc(said.texts, func(s string) bool { return strings.Contains(s, text) })
		}
	}
	until("word of the failure", words("n1 made no backup: "))
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	until("word of its end", words("n1 makes backups again"))
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
