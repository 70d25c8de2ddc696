package demo

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
)

const (
	readyLimit = 30 * time.Second // for the cluster to be complete
	lookPace   = 25 * time.Millisecond
	logTail    = 2048 // bytes of a daemon's log shown when it ended by itself
)

// AwaitReady blocks until all machines are up and etcd can lose one of them. Its
// error has the end of the log of a daemon that ended by itself, or that isn't ready in time.
func (c *Cluster) AwaitReady(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	voters := 3
	if len(c.Machines) >= 7 {
		voters = 5
	}
	var last error
	for {
		var list *api.MachineList
		to, err := client.Dial("unix://" + c.Machines[0].Socket)
		if err == nil {
			list, err = to.Machines(limit)
			to.Close()
		}
		if err == nil {
			up, voting, leader := 0, 0, false
			for _, m := range list.Machines {
				leader = leader || m.Leader
				if m.Health.State == cluster.Up {
					up++
				}
				if m.Seat == cluster.Voter {
					voting++
				}
			}
			if leader && up == len(c.Machines) && voting == voters {
				return nil
			}
			err = fmt.Errorf("%d of %d machines are up, %d of %d voters vote", up, len(c.Machines), voting, voters)
		}
		last = cmp.Or(err, last)
		for _, m := range c.Machines {
			select {
			case <-m.Exited():
				return fmt.Errorf("the daemon of %s ended by itself; the end of its log:\n%s", m.Name, tail(m.LogFile(), logTail))
			default:
			}
		}
		select {
		case <-time.After(lookPace):
		case <-limit.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("the cluster is not complete after %s: %w; the end of the log of %s:\n%s", readyLimit, last,
				c.Machines[0].Name, tail(c.Machines[0].LogFile(), logTail))
		}
	}
}

func tail(path string, n int) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-n):])
}
