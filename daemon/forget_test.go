package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
)

// TestForgottenAndBack: a machine that is up can't be forgotten. One that is gone can, with a
// unit that only it may have, and which runs on there. Back, it stops what it isn't given any more,
// before it is given that anew.
func TestForgottenAndBack(t *testing.T) {
	t.Parallel()
	m1 := newMachine(t, 1)
	m1.cfg.DaemonGrace = time.Second
	_, m3 := m1.startThree()
	m1.act(api.Start, api.ActionRequest{Files: []api.File{{Name: "only.service", Content: m3.unit()}}})
	m1.untilActive("only.service")
	before := m3.pids()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := m1.client().Forget(ctx, "n3")
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeConflict ||
		!strings.Contains(err.Error(), "only a machine that is gone can be forgotten") {
		t.Errorf("a machine that is up: %v", err)
	}
	m3.halt()
	m1.until("n3 gone", func(ctx context.Context, c *client.Client) (bool, error) {
		_, err := c.Forget(ctx, "n3")
		return err == nil, err
	})
	m1.until("the unit without a place", func(ctx context.Context, c *client.Client) (bool, error) {
		u, err := c.Unit(ctx, "only.service")
		return err == nil && u.Unplaced != "", err
	})
	if now := m3.pids(); len(now) != 1 || now[0] != before[0] {
		t.Errorf("while its machine is forgotten: processes %v, want %v", now, before)
	}
	m3.start()
	m1.untilVoting(3)
	m1.untilActive("only.service")
	if now := m3.pids(); len(now) != 1 {
		t.Errorf("back: processes %v, want one", now)
	}
}

// TestLeaveThatWasInterrupted: a leave that ends in the middle, as its caller went away, stops nothing half way:
// the machine stays drained, its units go on moving, and a second leave ends what the first began. The last
// machine has nowhere to go.
func TestLeaveThatWasInterrupted(t *testing.T) {
	t.Parallel()
	m1 := newMachine(t, 1)
	m2 := newMachine(t, 2, m1)
	m1.start()
	m2.start()
	m1.untilUp(2)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// It takes its time to start, so that the leave is under way for as long.
	slow := fmt.Sprintf("[Service]\nExecStartPre=/bin/sleep 2\nExecStart=/bin/sh -c 'echo $$$$ > %s/%%p.pid; exec sleep 1000'\n",
		m1.cfg.StateDir)
	if _, err := m1.client().Schedule(ctx, "n1", "cordon"); err != nil {
		t.Fatal(err)
	}
	m2.act(api.Start, api.ActionRequest{Files: []api.File{{Name: "slow.service", Content: slow}}})
	m2.untilActive("slow.service")
	if _, err := m1.client().Schedule(ctx, "n1", "uncordon"); err != nil {
		t.Fatal(err)
	}
	first, giveUp := context.WithCancel(ctx)
	left := make(chan error, 1)
	go func() {
		_, err := m2.client().Leave(first, api.LeaveRequest{})
		left <- err
	}()
	m1.until("n2 drained", func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Machines(ctx)
		for _, m := range list.Machines {
			if m.Name == "n2" && m.Schedule == cluster.Drained {
				return true, err
			}
		}
		return false, err
	})
	giveUp()
	if err := <-left; err == nil {
		t.Error("the first leave ended before it could be interrupted")
	}
	select {
	case <-m2.done:
		t.Fatalf("the daemon ended with an interrupted leave: %v", m2.err)
	default:
	}
	if _, err := m2.client().Leave(ctx, api.LeaveRequest{}); err != nil {
		t.Fatal(err)
	}
	<-m2.done
	m2.stop = nil
	if !errors.Is(m2.err, ErrLeft) {
		t.Errorf("the daemon ended with %v, want ErrLeft", m2.err)
	}
	m1.untilActive("slow.service")
	_, err := m1.client().Leave(ctx, api.LeaveRequest{})
	if err == nil || !strings.Contains(err.Error(), "this is the only machine of the cluster") {
		t.Errorf("the last machine: %v", err)
	}
}
