package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"fleettop/cluster"
)

// TestSignalsEndVerbs: a verb that a signal ends says so by its exit code alone.
func TestSignalsEndVerbs(t *testing.T) {
	s := newShell(t, 1)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		for _, args := range []string{"events -f", "-o json events -f"} {
			cmd := exec.Command(self, append([]string{"--endpoint", s.Endpoint}, strings.Fields(args)...)...)
			cmd.Env = append(os.Environ(), actAsFleettop+"=1")
			var errOut bytes.Buffer
			out := &safeBuffer{}
			cmd.Stdout, cmd.Stderr = out, &errOut
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// Where it follows, it shows what happens.
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			if err := s.Store.Record(ctx, cluster.Event{Kind: cluster.EventMachine, Text: "here it is",
				Time: time.Now()}); err != nil {
				t.Fatal(err)
			}
			if err := out.await(ctx, "here it is"); err != nil {
				t.Error(err)
			}
			cancel()
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			var ended *exec.ExitError
			if err := finish(cmd, 20*time.Second); !errors.As(err, &ended) {
				t.Errorf("%s, %s: %v", args, sig, err)
				continue
			}
			// A shell calls both ways by the same number.
			how := ended.Sys().(syscall.WaitStatus)
			if code := how.ExitStatus(); code != 128+int(sig) && how.Signal() != sig || errOut.Len() > 0 {
				t.Errorf("%s, %s: %v\n%s", args, sig, ended, errOut.String())
			}
		}
	}
}
