package daemon

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/keys"
)

// Another program may remove the sockets, or the whole run directory: the daemon
// notices and makes them again, and connections that are open go on.
func TestRunDirIsMadeAgain(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 1)
	m.start()
	m.untilVoting(1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	watched, watching := make(chan error, 1), make(chan struct{}, 1)
	watcher := m.client()
	go func() {
		watched <- watcher.Watch(ctx, api.WatchOptions{}, func(*api.State, *api.Line) error {
			select {
			case watching <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	<-watching
	socket := m.cfg.RunDir + "/fleettop.sock"
	view := api.ViewSocket(socket)
	for _, gone := range []struct {
		name   string
		remove func() error
	}{
		{"one socket", func() error { return os.Remove(socket) }},
		{"the other one", func() error { return os.Remove(view) }},
		{"the certificate", func() error { return os.RemoveAll(filepath.Join(m.cfg.RunDir, "tls")) }},
		{"a socket that another has the place of", func() error {
			return errors.Join(os.Remove(socket),
				replaceSocket(socket))
		}},
		{"the run directory", func() error { return os.RemoveAll(m.cfg.RunDir) }},
	} {
		if err := gone.remove(); err != nil {
			t.Fatalf("%s: %v", gone.name, err)
		}
		deadline := time.Now().Add(patience)
		for {
			var err error
			for _, at := range []string{socket, view} {
				var c *client.Client
				if c, err = client.Dial("unix://" + at); err == nil {
					_, err = c.Machines(ctx)
					c.Close()
				}
				if err != nil {
					break
				}
			}
			if err == nil {
				_, err = os.Stat(filepath.Join(m.cfg.RunDir, "tls", "cert.pem"))
			}
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("without %s: %v", gone.name, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	select {
	case err := <-watched:
		t.Errorf("a connection that was open ended: %v", err)
	case <-m.done:
		t.Errorf("the daemon ended: %v", m.err)
	default:
	}
	cancel()
	m.halt()
	if left, err := os.Lstat(socket); err == nil {
		t.Errorf("%s is left", left.Name())
	}
}

// A hangup makes the daemon look at its files again, and say which of them the
// next start would not take as it is.
func TestReload(t *testing.T) {
	t.Parallel()
	hangups := make(chan os.Signal)
	m := newMachine(t, 1)
	m.cfg.Reload = hangups
	m.start()
	m.untilVoting(1)
	says := func(what string) {
		t.Helper()
		select {
		case hangups <- syscall.SIGHUP:
		case <-time.After(patience):
			t.Fatal("no hangup is taken")
		}
		for deadline := time.Now().Add(patience); !m.log.contains(what); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("it doesn't say: %s", what)
			}
		}
	}
	says("asked to read everything again")
	if m.log.contains("level=WARN msg=\"the key file") || m.log.contains("can't be read any more") {
		t.Error("it warns of a key that is as it was")
	}
	other := keys.NewRing(keys.Generate())
	if err := other.Save(m.cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	says("there=" + other.String())
	if err := os.Remove(m.cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	says("can't be read any more")
	m.until("an answer", func(ctx context.Context, c *client.Client) (bool, error) {
		_, err := c.Machines(ctx)
		return err == nil, err
	})
}

// replaceSocket leaves a socket that nobody answers on.
func replaceSocket(path string) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	return l.Close()
}
