package daemon

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
)

// TestFourthMachine is no voter, so that nothing on it looks at the cluster's
// state by itself. What it is asked for it answers all the same: a line to join
// by, and to leave for good.
func TestFourthMachine(t *testing.T) {
	t.Parallel()
	m1 := newMachine(t, 1)
	m1.startThree()
	m4 := newMachine(t, 4, m1)
	m4.start()
	m1.until("four machines", func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Machines(ctx)
		up := 0
		for _, m := range list.Machines {
			if m.Health.State == cluster.Up {
				up++
			}
		}
		return up == 4, err
	})
	m4.until("a line to join by", func(ctx context.Context, c *client.Client) (bool, error) {
		token, err := c.JoinToken(ctx)
		if err == nil && len(token.Addresses) != 3 {
			err = fmt.Errorf("it names %v", token.Addresses)
		}
		return err == nil, err
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := m4.client().Leave(ctx, api.LeaveRequest{}); err != nil {
		t.Fatal(err)
	}
	<-m4.done
	if !errors.Is(m4.err, ErrLeft) {
		t.Errorf("the daemon ended with %v, want ErrLeft", m4.err)
	}
	m4.stop = nil
}
