package daemon

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
)

// loseData stops a daemon, removes a part of its state and starts it again.
func (m *machine) loseData(part string) (since time.Time) {
	m.t.Helper()
	m.halt()
	if err := os.RemoveAll(filepath.Join(m.cfg.StateDir, part)); err != nil {
		m.t.Fatal(err)
	}
	since = time.Now()
	m.start()
	return since
}

// untilJoinedAnew waits until a machine's old member was removed and a new one
// votes, by the word of the timeline, which another machine is asked for.
func (m *machine) untilJoinedAnew(asked *machine, since time.Time) {
	m.t.Helper()
	asked.until("word of why "+m.cfg.Name+" joined anew", func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Events(ctx, since.Format(time.RFC3339Nano), 1000)
		said, votes := false, false
		for _, e := range list {
			if e.Kind != cluster.EventVoter || e.Machine != m.cfg.MachineID {
				continue
			}
			said = said || e.Text == m.cfg.Name+" votes no more: its data is gone, so it joins anew"
			votes = said && strings.HasPrefix(e.Text, m.cfg.Name+" votes: ")
		}
		return votes, err
	})
	m.untilVoting(3)
}

// A voter comes back with its machine-id and address and without its log: with
// the rest of its state, with nothing, and the machine that founded the
// cluster, which by its options has no machine to join.
//
// It runs alone: for how long the founder waits for word of the others is in seconds.
func TestVoterThatLostItsData(t *testing.T) {
	m1 := newMachine(t, 1)
	m2, m3 := m1.startThree()
	m2.untilJoinedAnew(m1, m2.loseData("etcd"))
	m3.untilJoinedAnew(m1, m3.loseData(""))
	m1.untilJoinedAnew(m2, m1.loseData(""))
	for _, m := range []*machine{m1, m2, m3} {
		m.until("one cluster of three machines", func(ctx context.Context, c *client.Client) (bool, error) {
			list, err := c.Machines(ctx)
			return err == nil && len(list.Machines) == 3, err
		})
	}
	if m1.log.contains("etcd: raft") || m2.log.contains("out of range") {
		t.Error("a member ran without its log")
	}
}

// A cluster that was founded by a machine which another one knows stays, once
// it is in use: giving it up would end its units.
func TestFoundedClusterInUseStays(t *testing.T) {
	t.Parallel()
	m1 := newMachine(t, 1)
	m2 := newMachine(t, 2, m1)
	m1.start()
	m2.start()
	m1.until("two machines", func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Machines(ctx)
		return err == nil && len(list.Machines) == 2 && list.Machines[1].Seat == cluster.Learner, err
	})
	m2.halt()
	if err := os.RemoveAll(m2.cfg.StateDir); err != nil {
		t.Fatal(err)
	}
	m2.cfg.Join = nil
	m1.halt()
	m2.start()
	m2.untilVoting(1)
	m2.act(api.Submit, api.ActionRequest{Files: []api.File{{Name: "a.service", Content: m2.unit()}}})
	m1.start()
	m2.until("word of the other cluster", func(context.Context, *client.Client) (bool, error) {
		return m2.log.contains("move " + m2.cfg.StateDir + " away"), nil
	})
	m2.until("its unit", func(ctx context.Context, c *client.Client) (bool, error) {
		_, err := c.Unit(ctx, "a.service")
		return err == nil, err
	})
}
