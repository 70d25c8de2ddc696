package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/etcdserver"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/etcdnode"
)

// crash ends a daemon's life as if its machine had gone: what it left is killed, and its disk empty.
func (m *machine) crash() {
	m.t.Helper()
	m.halt()
	m.killUnits()
	if err := os.RemoveAll(m.cfg.StateDir); err != nil {
		m.t.Fatal(err)
	}
}

// seats are the names of the machines with each seat.
func (m *machine) seats(ctx context.Context, c *client.Client) (voters, others []string, err error) {
	list, err := c.Machines(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, x := range list.Machines {
		if x.Seat == cluster.Voter {
			voters = append(voters, x.Name)
		} else {
			others = append(others, x.Name)
		}
	}
	return voters, others, nil
}

// recover makes a cluster of what a machine has whose daemon is stopped.
func (m *machine) recover() (id string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := OpenRecovery(ctx, m.cfg.StateDir)
	if err != nil {
		m.t.Fatal(err)
	}
	defer r.Close()
	if r.HasQuorum() || r.Units == 0 || r.Survivor.Revision == 0 || time.Since(r.Survivor.Written) > time.Hour {
		m.t.Fatalf("there is: %+v, quorum %v", r, r.HasQuorum())
	}
	id, kept, err := r.Run(ctx, etcdserver.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(kept, "member", "wal")); err != nil {
		m.t.Error(err)
	}
	return id
}

// TestRecoverFromThreeOfFive loses two of three voters and one other machine of five, with their disks. The voter
// that is left is made a cluster; the units of the two machines that live run on, both vote again with a
// new machine, and a voter of the old cluster that comes back with its old disk is refused.
//
// It runs alone: five daemons come up, and three at a time.
func TestRecoverFromThreeOfFive(t *testing.T) {
	m1 := newMachine(t, 1)
	m2, m3 := m1.startThree()
	m4, m5 := newMachine(t, 4, m1, m3), newMachine(t, 5, m1, m3)
	m4.start()
	m5.start()
	m1.until("five machines", func(ctx context.Context, c *client.Client) (bool, error) {
		voters, others, err := m1.seats(ctx, c)
		return len(voters) == 3 && len(others) == 2, err
	})
	m1.act(api.Start, api.ActionRequest{Files: []api.File{{Name: "a.service", Content: m3.unit()},
		{Name: "b.service", Content: m4.unit()}}})
	m1.untilActive("a.service")
	m1.untilActive("b.service")
	before := slices.Concat(m3.pids(), m4.pids())
	if len(before) != 2 {
		t.Fatalf("processes %v", before)
	}
	// One disk comes back later.
	m2.halt()
	oldDisk := t.TempDir()
	if err := os.CopyFS(oldDisk, os.DirFS(m2.cfg.StateDir)); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*machine{m1, m2, m5} {
		m.crash()
	}
	m3.until("loss of the quorum", func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Machines(ctx)
		return err == nil && !list.Store.Connected, err
	})
	if _, err := OpenRecovery(t.Context(), m3.cfg.StateDir); err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("beside a daemon: %v", err)
	}
	m3.halt()
	old := etcdClusterID(m3)
	id := m3.recover()
	if id == old || etcdserver.Succeeds(m3.cfg.StateDir) != old {
		t.Errorf("cluster %s after %s, marked as that of %s", id, old, etcdserver.Succeeds(m3.cfg.StateDir))
	}
	m3.start()
	for _, m := range []*machine{m3, m4} {
		m.until("a store that answers", func(ctx context.Context, c *client.Client) (bool, error) {
			list, err := c.Machines(ctx)
			return err == nil && list.Store.Connected && slices.ContainsFunc(list.Machines, func(x api.MachineInfo) bool {
				return x.Name == "n4" && x.Health.State == cluster.Up
			}), err
		})
		m.untilActive("a.service")
		m.untilActive("b.service")
	}
	for _, gone := range []string{"n1", "n5"} {
		m3.until(gone+" forgotten", func(ctx context.Context, c *client.Client) (bool, error) {
			_, err := c.Forget(ctx, gone)
			refusal := new(api.Error)
			return err == nil || errors.As(err, &refusal) && refusal.Code == api.CodeNotFound, nil
		})
	}
	m6 := newMachine(t, 6, m3)
	m6.start()
	m3.until("three voters", func(ctx context.Context, c *client.Client) (bool, error) {
		voters, _, err := m3.seats(ctx, c)
		return slices.Equal(voters, []string{"n3", "n4", "n6"}), err
	})
	if now := slices.Concat(m3.pids(), m4.pids()); !slices.Equal(now, before) {
		t.Errorf("processes %v, before %v", now, before)
	}

	if err := os.CopyFS(m2.cfg.StateDir, os.DirFS(oldDisk)); err != nil {
		t.Fatal(err)
	}
	m2.start()
	select {
	case <-m2.done:
	case <-time.After(patience):
		t.Fatal("a voter of the old cluster goes on with its old disk")
	}
	m2.stop = nil
	recovered := new(etcdnode.RecoveredError)
	if !errors.As(m2.err, &recovered) || !strings.Contains(m2.err.Error(), "fleettop recover --rejoin") {
		t.Fatalf("it ended with %v", m2.err)
	}
	if _, err := LeaveBehind(m2.cfg.StateDir); err != nil {
		t.Fatal(err)
	}
	m2.start()
	for _, m := range []*machine{m2, m3} {
		m.until("four machines", func(ctx context.Context, c *client.Client) (bool, error) {
			list, err := c.Machines(ctx)
			up := 0
			for _, x := range list.Machines {
				if x.Health.State == cluster.Up {
					up++
				}
			}
			return up == 4 && list.Store.Connected, err
		})
	}
	if now := slices.Concat(m3.pids(), m4.pids()); !slices.Equal(now, before) {
		t.Errorf("in the end processes %v, before %v", now, before)
	}
	m3.act(api.Destroy, api.ActionRequest{Units: []string{"a.service", "b.service"}})
}

// etcdClusterID is the ID of the cluster whose data a machine has.
func etcdClusterID(m *machine) string {
	s, err := etcdserver.Survey(m.cfg.StateDir, func(string) bool { return false })
	if err != nil {
		m.t.Fatal(err)
	}
	return s.ClusterID
}

// TestRecoverOnTheMachineThatStoodBy: of two machines one votes, and the other has a copy. When the first
// one is gone, that copy is enough.
func TestRecoverOnTheMachineThatStoodBy(t *testing.T) {
	t.Parallel()
	m1 := newMachine(t, 1)
	m2 := newMachine(t, 2, m1)
	m1.start()
	m2.start()
	m1.until("a learner", func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Machines(ctx)
		return err == nil && len(list.Machines) == 2 && list.Machines[1].Seat == cluster.Learner, err
	})
	m1.act(api.Start, api.ActionRequest{Files: []api.File{{Name: "a.service", Content: m2.unit()}}})
	m1.untilActive("a.service")
	before := m2.pids()
	m2.until("its copy", func(context.Context, *client.Client) (bool, error) {
		return m2.log.contains("has joined and is learning"), nil
	})
	m1.crash()
	m2.halt()
	m2.recover()
	m2.start()
	m2.untilVoting(1)
	m2.untilActive("a.service")
	if now := m2.pids(); len(before) != 1 || !slices.Equal(now, before) {
		t.Errorf("processes %v, before %v", now, before)
	}
	m2.act(api.Destroy, api.ActionRequest{Units: []string{"a.service"}})
}
