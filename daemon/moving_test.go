package daemon

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
)

// move gives a daemon that is stopped another address and starts it there.
func (m *machine) move(address string) {
	m.t.Helper()
	m.cfg.Address = address
	m.start()
}

// untilFound waits until etcd's members know where a machine's etcd is now.
func (m *machine) untilFound(moved *machine) {
	m.t.Helper()
	what := "word that " + moved.cfg.Name + " is at " + moved.cfg.Address
	m.until(what, func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Events(ctx, "", 1000)
		for _, e := range list {
			at := " is at https://" + moved.cfg.etcdPeer()
			if e.Kind == cluster.EventVoter && e.Machine == moved.cfg.MachineID && strings.HasSuffix(e.Text, at) {
				return true, nil
			}
		}
		return false, err
	})
}

// Machines change their addresses while their daemons are off: the only one of
// a cluster, a learner, and a voter that was off for so long that the others
// can't bring it up to date before they find it.
func TestMachinesThatMove(t *testing.T) {
	t.Parallel()
	m1 := newMachine(t, 1)
	m1.start()
	m1.untilVoting(1)
	m1.halt()
	m1.move("127.0.0.2")
	m1.untilFound(m1)

	m2 := newMachine(t, 2, m1)
	m2.start()
	m1.until("a learner", func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Machines(ctx)
		return err == nil && len(list.Machines) == 2 && list.Machines[1].Seat == cluster.Learner &&
			m2.log.contains("is learning"), err
	})
	m2.halt()
	m2.move("127.0.0.3")
	m1.untilFound(m2)

	m3 := newMachine(t, 3, m2)
	m3.start()
	m1.untilVoting(3)
	m2.halt()
	c := m1.client()
	for range 200 { // four entries each, and raft's log keeps six hundred
		for _, verb := range []string{"cordon", "uncordon"} {
			if _, err := c.Schedule(t.Context(), m2.cfg.MachineID, verb); err != nil {
				t.Fatal(err)
			}
		}
	}
	m2.move("127.0.0.4")
	m3.untilFound(m2)
	m1.halt()
	m3.act(api.Start, api.ActionRequest{Files: []api.File{{Name: "a.service", Content: m3.unit()}}})
	m3.untilActive("a.service")
}

// TestFoundByTheLeader: a machine with another address remembers nobody's, so
// that neither it nor the others can find each other in gossip. The store knows.
func TestFoundByTheLeader(t *testing.T) {
	t.Parallel()
	m1 := newMachine(t, 1)
	m2, m3 := m1.startThree()
	m1.halt()
	seeds := filepath.Join(m1.cfg.StateDir, seedsFile)
	nobody := []byte(`["127.0.0.9:1"]`)
	if err := os.WriteFile(seeds, nobody, 0o600); err != nil {
		t.Fatal(err)
	}
	m1.move("127.0.0.2")
	m2.untilFound(m1)
	m1.untilVoting(3)
	m1.until("the others' addresses among its seeds", func(context.Context, *client.Client) (bool, error) {
		known := m1.seeds()
		return slices.Contains(known, m2.cfg.gossipAddress()) && slices.Contains(known, m3.cfg.gossipAddress()), nil
	})
}
