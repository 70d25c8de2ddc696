//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
)

const stateDir = "/var/lib/fleettop"

// joinedAnew waits until the timeline says that a machine's member was removed
// because its data was gone, and the cluster is whole again.
func (f *fleet) joinedAnew(m *lab.Machine, since time.Time) {
	f.t.Helper()
	witness := f.others(m)[0]
	want := m.Name + " votes no more: its data is gone, so it joins anew"
	f.eventually("word that "+m.Name+" joined anew", 60*time.Second, func() error {
		list, err := f.client(witness).Events(f.ctx, since.Format(time.RFC3339Nano), 1000)
		if err != nil {
			return err
		}
		said := false
		for _, e := range list {
			if e.Kind != cluster.EventVoter || e.Machine != m.MachineID {
				continue
			}
			said = said || e.Text == want
			if said && strings.HasPrefix(e.Text, m.Name+" votes: ") {
				return nil
			}
		}
		return fmt.Errorf("expected %q and then that it votes; the timeline:%s", want, f.timeline(witness, since))
	})
	f.settled(f.machines...)
	if log, err := m.Journal(f.ctx, lab.UnitName); err != nil || strings.Contains(log, "goroutine ") {
		f.t.Errorf("%s: a Go trace is in its journal (%v):\n%s", m.Name, err, log)
	}
	f.t.Logf("%s votes again %.1f s after", m.Name, time.Since(since).Seconds())
}

// TestVotersThatLostTheirData takes a voter's log away while its units run, then
// the leader's, then all that the machine which founded the cluster has on its
// disk. All come back by themselves, and units that ran on keep their processes.
func TestVotersThatLostTheirData(t *testing.T) {
	f := newFleet(t, 3, setup{options: longGrace})
	f.start(f.machines[0], map[string]string{"everywhere.service": sleeper("[X-Fleet]", "Global=true")})
	f.eventually("the unit on all machines", soon, func() error {
		for _, m := range f.machines {
			if got := f.show(m, "everywhere.service", "ActiveState"); got != "active" {
				return fmt.Errorf("it is %s on %s", got, m.Name)
			}
		}
		return nil
	})
	before := f.procs.snapshot()

	lose := func(m *lab.Machine) time.Time {
		f.must(m.StopFleettop(f.ctx))
		f.on(m, "rm", "-rf", stateDir+"/etcd")
		since := time.Now()
		f.must(m.StartFleettop(f.ctx))
		return since
	}
	victim := f.others(f.leader())[1]
	f.joinedAnew(victim, lose(victim))
	leader := f.leader()
	t.Logf("the leader is on %s", leader.Name)
	f.joinedAnew(leader, lose(leader))
	f.procs.unchanged(t, before)

	founder := f.machines[0]
	_, err := founder.Kill()
	f.must(err)
	disk := filepath.Join(f.lab.Dir(), founder.Name, "root", stateDir)
	f.must(os.RemoveAll(disk))
	since := time.Now()
	f.must(founder.Boot(f.ctx))
	f.must(founder.WaitBooted(f.ctx))
	f.joinedAnew(founder, since)

	// A damaged file: the daemon's words have the command that helps.
	f.must(victim.StopFleettop(f.ctx))
	f.on(victim, "truncate", "--size=20000", stateDir+"/etcd/member/snap/db")
	since = time.Now()
	_ = victim.StartFleettop(f.ctx) // fails, or is under way for ever
	command := regexp.MustCompile(`'(mv ` + stateDir + `/etcd \S+)'`)
	f.eventually("the sentence with the command", soon, func() error {
		log, err := victim.Journal(f.ctx, lab.UnitName)
		if err != nil {
			return err
		}
		if !command.MatchString(log) || !strings.Contains(log, stateDir+"/etcd/member/snap/db: it is") {
			return errors.New("the journal has no such sentence:\n" + log)
		}
		return nil
	})
	log, err := victim.Journal(f.ctx, lab.UnitName)
	f.must(err)
	f.must(victim.StopFleettop(f.ctx))
	f.on(victim, "sh", "-c", command.FindStringSubmatch(log)[1])
	f.must(victim.StartFleettop(f.ctx))
	f.joinedAnew(victim, since)
}

// TestSmallStateDisk gives a daemon 20 MB for its state: it says that the disk
// is full, in a sentence, and comes up by itself when there is room. With 200
// MB it comes up, and warns.
func TestSmallStateDisk(t *testing.T) {
	f := newFleet(t, 1, setup{idle: true})
	m := f.machines[0]
	f.must(m.SmallDisk(f.ctx, stateDir, 20))
	_ = m.StartFleettop(f.ctx)
	f.eventually("word that the disk is full", soon, func() error {
		log, err := m.Journal(f.ctx, lab.UnitName)
		if err == nil && !strings.Contains(log, "the disk is full: free some space there") {
			err = errors.New("expected \"the disk is full\"; the journal:\n" + log)
		}
		return err
	})
	f.must(m.RemoveSmallDisk(f.ctx, stateDir))
	f.must(m.SmallDisk(f.ctx, stateDir, 200))
	f.settled(m)
	f.eventually("a warning in the timeline", soon, func() error {
		out, err := m.Exec(f.ctx, "fleettop", "events")
		if err == nil && !strings.Contains(out, m.Name+"'s state disk, "+stateDir+", is nearly full: ") {
			err = errors.New("expected that the state disk is nearly full; the timeline:\n" + out)
		}
		return err
	})
	if log, err := m.Journal(f.ctx, lab.UnitName); err != nil || strings.Contains(log, "goroutine ") {
		t.Errorf("a Go trace is in the journal (%v):\n%s", err, log)
	}
}
