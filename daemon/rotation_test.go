package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/keys"
)

func (m *machine) ring() keys.Ring {
	m.t.Helper()
	r, err := keys.Load(m.cfg.KeyFile)
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

func (m *machine) rotate(do func(*client.Client, context.Context) (*api.KeyList, error)) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// etcd begins anew where its certificate changes, and on a busy machine that takes a while.
	for {
		_, err := do(m.client(), ctx)
		if e := (*api.Error)(nil); errors.As(err, &e) && e.Code == api.CodeUnavailable && ctx.Err() == nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		if err != nil {
			m.t.Fatal(err)
		}
		return
	}
}

func (m *machine) untilKeys(what string, done func(*api.KeyList) bool) {
	m.t.Helper()
	m.until(what, func(ctx context.Context, c *client.Client) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
		defer cancel()
		list, err := c.Keys(ctx)
		if err == nil && !done(list) {
			err = fmt.Errorf("it is %+v", *list)
		}
		return err == nil, err
	})
}

func TestRotation(t *testing.T) {
	t.Parallel()
	m1 := newMachine(t, 1)
	m2, m3 := m1.startThree()
	all := []*machine{m1, m2, m3}
	m1.act(api.Start, api.ActionRequest{Files: []api.File{{Name: "a.service", Content: m2.unit()}}})
	m1.untilActive("a.service")
	before := m2.pids()
	old := m1.ring()

	m2.rotate((*client.Client).RotateKey)
	if _, err := m3.client().RotateKey(t.Context()); err == nil || !strings.Contains(err.Error(), "under way") {
		t.Errorf("a second rotation at the same time: %v", err)
	}
	m1.untilKeys("one key", func(l *api.KeyList) bool { return l.Phase == "" && l.Keys[0].ID != old.Primary().ID() })
	for _, m := range all {
		m.untilKeys("the new key everywhere", func(l *api.KeyList) bool {
			return !slices.ContainsFunc(l.Machines, func(h api.KeyHolder) bool {
				return !slices.Equal(h.Keys, []string{l.Keys[0].ID})
			})
		})
		if r := m.ring(); len(r.Keys()) != 1 || r.Equal(old) {
			t.Errorf("%s keeps %s in its file, before %s", m.cfg.Name, r, old)
		}
	}
	m1.untilVoting(3)
	m3.untilActive("a.service")
	if now := m2.pids(); !slices.Equal(now, before) {
		t.Errorf("the unit's processes are %v, before the rotation %v", now, before)
	}
	stale := newIntruder(t, m1, old)
	for port, err := range stale.tryAll() {
		if err == nil {
			t.Errorf("the dropped key opens %s", port)
		}
	}
	newIntruder(t, m1, m1.ring()).untilIn()
	// All of it survives a restart.
	m2.halt()
	m2.start()
	m1.untilVoting(3)
}

func TestMachineThatWasOffWhileTheKeyWasRotated(t *testing.T) {
	t.Parallel()
	m1 := newMachine(t, 1)
	m1.cfg.DaemonGrace = time.Millisecond
	m2, m3 := m1.startThree()
	old := m1.ring()
	m3.halt()
	m1.until("n3 off", func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Machines(ctx)
		if err != nil {
			return false, err
		}
		return slices.ContainsFunc(list.Machines, func(x api.MachineInfo) bool {
			return x.Name == "n3" && !x.Health.State.Runs()
		}), nil
	})
	m1.rotate((*client.Client).RotateKey)
	m1.untilKeys("a wait for n3 alone", func(l *api.KeyList) bool {
		return l.Phase == string(keys.Retiring) && slices.Equal(l.Waiting, []string{"n3"})
	})
	m1.rotate((*client.Client).FinishRotation)
	m1.untilKeys("one key", func(l *api.KeyList) bool { return l.Phase == "" && !slices.Contains(l.Waiting, "n1") })
	m1.untilKeys("one key on n1 and n2", func(l *api.KeyList) bool {
		n := 0
		for _, h := range l.Machines {
			if slices.Equal(h.Keys, []string{l.Keys[0].ID}) {
				n++
			}
		}
		return n == 2
	})

	m3.start()
	deadline := time.Now().Add(patience)
	for !strings.Contains(m3.log.text(), "join-command") {
		if time.Now().After(deadline) {
			t.Fatalf("n3 doesn't say what to do:\n%s", m3.log.text())
		}
		time.Sleep(20 * time.Millisecond)
	}
	m3.halt()
	if !m3.ring().Equal(old) {
		t.Error("n3 got a key from somewhere")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	token, err := m2.client().JoinToken(ctx)
	if err != nil {
		t.Fatal(err)
	}
	joining := JoinConfig{Token: token.Token, Addresses: token.Addresses, KeyFile: m3.cfg.KeyFile,
		StateDir: m3.cfg.StateDir}
	if _, err := Join(ctx, joining); err != nil {
		t.Fatal(err)
	}
	m3.start()
	m1.untilVoting(3)
	if _, err := Join(ctx, joining); err == nil || !strings.Contains(err.Error(), "used already") {
		t.Errorf("the token was taken twice: %v", err)
	}
	for _, m := range []*machine{m1, m2, m3} {
		for _, k := range append(old.Keys(), m1.ring().Keys()...) {
			text := strings.Fields(string(keys.NewRing(k).Text()))
			if secret := text[len(text)-1]; strings.Contains(m.log.text(), secret) {
				t.Errorf("the log of %s shows a key", m.cfg.Name)
			}
		}
		if strings.Contains(m.log.text(), token.Token) {
			t.Errorf("the log of %s shows a token", m.cfg.Name)
		}
	}
}

func TestNewMachineJoinsByToken(t *testing.T) {
	t.Parallel()
	m1 := newMachine(t, 1)
	m1.start()
	m1.untilVoting(1)
	m2 := newMachine(t, 2)
	if err := os.Remove(m2.cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	token, err := m1.client().JoinToken(ctx)
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(text string) error {
		_, err := Join(ctx, JoinConfig{Token: text, Addresses: []string{"127.0.0.1:1", token.Addresses[0]},
			KeyFile: filepath.Join(t.TempDir(), "key"), StateDir: t.TempDir()})
		return err
	}
	foreign, err := keys.Generate().NewToken(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	old, err := m1.ring().Primary().NewToken(time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, token, says string }{
		{"no token", "secret", "no token"},
		{"another cluster's", foreign.Text(), "not a machine of the cluster"},
		{"too old", old.Text(), "too old"},
		{"forged", token.Token[:len(token.Token)-6] + "AAAAAA", "no token of this cluster"},
	} {
		if err := fetch(c.token); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want something about %q", c.name, err, c.says)
		}
	}
	if _, err := Join(ctx, JoinConfig{Token: token.Token, Addresses: token.Addresses, KeyFile: m2.cfg.KeyFile,
		StateDir: m2.cfg.StateDir}); err != nil {
		t.Fatal(err)
	}
	m2.start() // with neither --join nor data: it knows the cluster from the token's answer
	m1.until("two machines", func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Machines(ctx)
		return err == nil && len(list.Machines) == 2, err
	})
	for range 5 {
		err = fetch(token.Token)
	}
	if err == nil || !strings.Contains(err.Error(), "wait a minute") {
		t.Errorf("tokens can be tried without end: %v", err)
	}
	for range 70 {
		if err := fetch("ftj1-AAAA"); err == nil {
			t.Fatal("a token that no machine made is taken")
		}
	}
	if token, err = m1.client().JoinToken(ctx); err != nil {
		t.Fatal(err)
	}
	if err := fetch(token.Token); err != nil {
		t.Errorf("a machine with a good token is kept out by the bad ones before it: %v", err)
	}
}

// A ring that can't be written everywhere is not said to be everywhere, and is
// taken up when it can.
func TestRotationWaitsForWhatCantBeWritten(t *testing.T) {
	t.Parallel()
	m1 := newMachine(t, 1)
	m2 := newMachine(t, 2, m1)
	m1.start()
	m1.untilVoting(1)
	m2.start()
	m1.until("two machines", func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Machines(ctx)
		return err == nil && len(list.Machines) == 2, err
	})
	old := m2.ring()
	authorities := filepath.Join(m2.cfg.RunDir, "tls", "ca.pem")
	if err := os.Remove(authorities); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(authorities, "in", "the", "way"), 0o700); err != nil {
		t.Fatal(err)
	}
	m1.rotate((*client.Client).RotateKey)
	m1.untilKeys("a wait for n2", func(l *api.KeyList) bool {
		return l.Phase == string(keys.Spreading) && slices.Equal(l.Waiting, []string{"n2"})
	})
	for !m2.log.contains("keys can't be followed") {
		if list, err := m1.client().Keys(t.Context()); err == nil && !slices.Contains(list.Waiting, "n2") {
			t.Fatalf("n2 is said to have the keys, and it can't write its authorities: %+v", *list)
		}
		time.Sleep(20 * time.Millisecond)
	}
	select {
	case <-m2.done:
		t.Fatalf("the daemon ended: %v", m2.err)
	default:
	}
	if err := os.RemoveAll(authorities); err != nil {
		t.Fatal(err)
	}
	m1.untilKeys("one key", func(l *api.KeyList) bool {
		return l.Phase == "" && l.Keys[0].ID != old.Primary().ID() && len(l.Waiting) == 0
	})
	if err := newIntruder(t, m2, m1.ring()).gossip(); err != nil {
		t.Errorf("gossip of n2 doesn't take the new key: %v", err)
	}
	if got := m2.ring(); !got.Equal(m1.ring()) {
		t.Errorf("the file of n2 has %s, that of n1 %s", got, m1.ring())
	}
}
