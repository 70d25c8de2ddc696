//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
)

// TestRecover takes three of five machines with their disks, two of them voters.
// The voter that is left is made a cluster of its own, by the README's commands: it and the other machine that lives
// keep their units' processes, units of the dead ones run there, and a machine with a new disk joins.
func TestRecover(t *testing.T) {
	f := newFleet(t, 5, setup{})
	left := f.machines[0] // it founded the cluster
	list, err := f.client(left).Machines(f.ctx)
	f.must(err)
	voter := map[string]bool{}
	for _, m := range list.Machines {
		voter[m.ID] = m.Seat == cluster.Voter
	}
	if !voter[left.MachineID] {
		t.Fatalf("%s is no voter", left.Name)
	}
	var names []string
	var dead []*lab.Machine
	var other *lab.Machine
	for _, m := range f.machines[1:] {
		if voter[m.MachineID] || other != nil {
			dead, names = append(dead, m), append(names, m.Name)
		} else {
			other = m
		}
	}
	if len(dead) != 3 {
		t.Fatalf("%d machines are to go, of the voters %v", len(dead), voter)
	}
	f.start(left, map[string]string{"everywhere.service": sleeper("[X-Fleet]", "Global=true"),
		"moves.service": sleeper("[X-Fleet]", "MachineID="+dead[0].MachineID)})
	pids := func() (list []string) {
		for _, m := range []*lab.Machine{left, other} {
			list = append(list, m.Name+" "+f.show(m, "everywhere.service", "MainPID"))
		}
		return list
	}
	f.eventually("the unit on all machines", soon, func() error {
		for _, m := range f.machines {
			if got := f.show(m, "everywhere.service", "ActiveState"); got != "active" {
				return fmt.Errorf("it is %s on %s", got, m.Name)
			}
		}
		return nil
	})
	before := pids()
	for _, m := range dead {
		_, err := m.Kill()
		f.must(err)
		f.must(os.RemoveAll(filepath.Join(f.lab.Dir(), m.Name, "root", stateDir)))
	}
	code, said := f.refusal(left, "stop", "everywhere.service")
	t.Logf("without a quorum stop ends with %d: %s", code, said)

	began := time.Now()
	f.on(left, "systemctl", "stop", "fleettop")
	t.Log(f.on(left, "sh", "-c", "fleettop recover --dry-run 2>&1"))
	t.Log(f.on(left, "sh", "-c", "fleettop recover --yes 2>&1"))
	f.on(left, "systemctl", "start", "fleettop")
	for _, m := range []*lab.Machine{left, other} {
		f.eventually("the recovered cluster on "+m.Name, time.Minute, func() error {
			list, err := f.client(m).Machines(f.ctx)
			if err != nil {
				return err
			}
			up := 0
			for _, x := range list.Machines {
				if x.Health.State == cluster.Up {
					up++
				}
			}
			if !list.Store.Connected || up != 2 {
				return fmt.Errorf("connected %v, %d up", list.Store.Connected, up)
			}
			return nil
		})
	}
	t.Logf("both machines are in the recovered cluster %.1f s after the daemon was stopped for it", time.Since(began).Seconds())
	for _, name := range names {
		f.eventually(name+" forgotten", soon, func() error {
			_, said, err := f.try(left, "forget", name)
			if err != nil {
				err = fmt.Errorf("%w: %s", err, said)
			}
			return err
		})
	}
	if now := pids(); strings.Join(now, ", ") != strings.Join(before, ", ") {
		t.Errorf("processes: %v, before %v", now, before)
	}
	back := dead[0]
	f.must(back.Boot(f.ctx))
	f.must(back.WaitBooted(f.ctx))
	f.eventually("a third voter", time.Minute, func() error {
		list, err := f.client(other).Machines(f.ctx)
		if err != nil {
			return err
		}
		votes := 0
		for _, x := range list.Machines {
			if x.Seat == cluster.Voter && x.Health.State == cluster.Up {
				votes++
			}
		}
		if votes != 3 {
			return fmt.Errorf("%d voters", votes)
		}
		return nil
	})
	f.eventually("the unit that was on "+back.Name, soon, func() error {
		if got := f.show(back, "moves.service", "ActiveState"); got != "active" {
			return errors.New("it is " + got)
		}
		return nil
	})
	if now := pids(); strings.Join(now, ", ") != strings.Join(before, ", ") {
		t.Errorf("in the end processes: %v, before %v", now, before)
	}
}
