package etcdserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// crashJob is what a child process does: etcd that gave up leaves goroutines
// behind, and a panic would end the tests.
type crashJob struct {
	Dir, PeerAddr, ClientAddr string
	Bootstrap                 bool
	Files                     uint64 // how many may be open; 0 for as many as there are
}

const crashEnv = "FLEETTOP_ETCD_CRASH"

// crashChild runs a member, writes to it until it ends and prints why.
func crashChild(job string) int {
	var j crashJob
	if err := json.Unmarshal([]byte(job), &j); err != nil {
		fmt.Println(err)
		return 2
	}
	if j.Files > 0 {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: j.Files, Max: j.Files}); err != nil {
			fmt.Println(err)
			return 2
		}
	}
	cfg := Config{Dir: j.Dir, PeerAddr: j.PeerAddr, ClientAddr: j.ClientAddr, Machine: "m0", ClusterID: testCluster,
		Logger: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	start := Restart
	if j.Bootstrap {
		start = Bootstrap
	}
	s, err := start(ctx, cfg)
	if err == nil {
		err = writeUntilItEnds(ctx, s)
		s.Close()
	}
	fmt.Println(err)
	return 1
}

// writeUntilItEnds writes over many connections, as many machines would.
func writeUntilItEnds(ctx context.Context, s *Server) error {
	value := strings.Repeat("x", 256<<10)
	for i := 0; ctx.Err() == nil; i++ {
		if i < 100 {
			if c, err := NewClient(ClientConfig{Endpoints: []string{s.ClientURL()}, Logger: s.cfg.Logger}); err == nil {
				limited, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
				_, _ = c.Put(limited, fmt.Sprintf("key%d", i), value)
				cancel()
				defer c.Close()
			}
		}
		select {
		case <-s.Done():
			return s.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return errors.New("it wrote 25 MB and lives")
}

// crash runs a job and returns all it printed.
func crash(t *testing.T, cfg Config, job crashJob) string {
	t.Helper()
	job.Dir, job.PeerAddr, job.ClientAddr = cfg.Dir, cfg.PeerAddr, cfg.ClientAddr
	raw, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+string(raw))
	out, _ := cmd.CombinedOutput()
	return strings.TrimSpace(string(out))
}

// sentence fails the test unless out is one line with all of want.
func sentence(t *testing.T, out string, want ...string) {
	t.Helper()
	t.Log(out)
	if strings.Count(out, "\n") > 0 || strings.Contains(out, "goroutine ") {
		t.Errorf("expected one sentence")
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("expected %q in it", w)
		}
	}
}

func TestDamagedDataIsOneSentence(t *testing.T) {
	s := bootstrapped(t)
	client := ownClient(t, s)
	for i := range 300 {
		if _, err := client.Put(limit(t), fmt.Sprintf("key%d", i), strings.Repeat("x", 4000)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Put(limit(t), "large", strings.Repeat("x", 1<<20)); err != nil {
		t.Fatal(err)
	}
	client.Close()
	s.Close()
	zero := func(path string, from, to float64) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		size := float64(info.Size())
		_, err = f.WriteAt(make([]byte, int((to-from)*size)), int64(from*size))
		return errors.Join(err, f.Close())
	}
	cut := func(path string, to float64) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		return os.Truncate(path, int64(to*float64(info.Size())))
	}
	for _, c := range []struct {
		name   string
		damage func(db, wal string) error
		want   string
	}{
		{"database truncated", func(db, _ string) error { return cut(db, 0.05) }, "truncated"},
		{"database zeroed", func(db, _ string) error { return zero(db, 0, 1) }, "damaged"},
		{"database zeroed in part", func(db, _ string) error { return zero(db, 0.02, 1) }, "damaged"},
		{"database empty", func(db, _ string) error { return cut(db, 0) }, "empty"},
		{"database gone", func(db, _ string) error { return os.Remove(db) }, "missing"},
		{"log zeroed", func(_, wal string) error { return zero(wal, 0, 1) }, "the log is damaged"},
		{"log zeroed in part", func(_, wal string) error { return zero(wal, 0.0001, 0.001) }, "the log"},
		{"log ends early", func(_, wal string) error { return cut(wal, 0.01) }, "the log's end is missing"},
		{"log empty", func(_, wal string) error { return cut(wal, 0) }, "the log is damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := s.cfg
			cfg.Dir = filepath.Join(t.TempDir(), "state")
			if err := os.CopyFS(cfg.Dir, os.DirFS(s.cfg.Dir)); err != nil {
				t.Fatal(err)
			}
			db := filepath.Join(cfg.Dir, dataDir, databaseFile)
			logs, err := filepath.Glob(filepath.Join(cfg.Dir, dataDir, "member", "wal", "*.wal"))
			if err != nil || len(logs) != 1 {
				t.Fatal(logs, err)
			}
			if err := c.damage(db, logs[0]); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(cfg.Dir, dataDir)
			path := db
			if strings.Contains(c.want, "log") {
				path = filepath.Dir(logs[0])
			}
			sentence(t, crash(t, cfg, crashJob{}), c.want, "restore "+path, "mv "+dir+" "+dir+".damaged")
		})
	}
}

func TestDatabaseWithoutItsLogIsNotMadeAnew(t *testing.T) {
	s := bootstrapped(t)
	s.Close()
	wal := filepath.Join(s.cfg.Dir, dataDir, "member", "wal")
	if err := os.RemoveAll(wal); err != nil {
		t.Fatal(err)
	}
	_, err := Bootstrap(limit(t), s.cfg)
	if data := new(DataError); !errors.As(err, &data) || data.Path != wal {
		t.Errorf("bootstrap over the database of another log: %v", err)
	}
	if _, err := os.Stat(filepath.Join(s.cfg.Dir, dataDir, databaseFile)); err != nil {
		t.Errorf("the database is gone: %v", err)
	}
}

func TestFullDiskIsOneSentence(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	for _, size := range []string{"20m", "72m"} { // the log doesn't fit; the log fits and the database doesn't grow
		t.Run(size, func(t *testing.T) {
			cfg := newConfig(t, "m0")
			if err := syscall.Mount("tmpfs", cfg.Dir, "tmpfs", 0, "size="+size); err != nil {
				t.Skip("no small file system here: ", err)
			}
			t.Cleanup(func() { _ = syscall.Unmount(cfg.Dir, syscall.MNT_DETACH) })
			out := crash(t, cfg, crashJob{Bootstrap: true})
			sentence(t, out, cfg.Dir, "the disk is full: free some space")
			if strings.Contains(out, "damaged") {
				t.Error("nothing is damaged")
			}
		})
	}
}

func TestTooFewFilesIsOneSentence(t *testing.T) {
	out := crash(t, newConfig(t, "m0"), crashJob{Bootstrap: true, Files: 64})
	sentence(t, out, "LimitNOFILE=")
	if strings.Contains(out, "restore") {
		t.Error("nothing has to be restored")
	}
}
