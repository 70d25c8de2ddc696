//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
)

// TestClockJumps moves the time of day of a daemon, the leader's and another one's, by an hour,
// forward and back: nothing moves, the fence holds, and units are started, logs
// read and daemons restarted as ever.
func TestClockJumps(t *testing.T) {
	f := newFleet(t, 3, setup{limit: 2 * testLimit})
	leader := f.leader()
	other := f.others(leader)[0]
	files := sleepers("a.service", "b.service", "c.service")
	files[ticks] = tickers()
	for i, m := range []*lab.Machine{leader, other} {
		files[fmt.Sprintf("only%d.service", i)] = sleeper("[X-Fleet]", "Exclusive=true", "MachineID="+m.MachineID)
	}
	f.start(f.machines[0], files)
	f.runsOn(ticks, f.machines...)
	before, began := f.procs.snapshot(), time.Now()
	same := func() error { return f.asBefore(before, f.machines...) }
	if len(before) < len(files) {
		t.Fatalf("only %d units run", len(before))
	}

	for _, c := range []struct {
		who    string
		m      *lab.Machine
		offset time.Duration
	}{
		{"the leader's", leader, time.Hour},
		{"the leader's", leader, -time.Hour},
		{"another machine's", other, time.Hour},
		{"another machine's", other, -time.Hour},
	} {
		what := fmt.Sprintf("%s clock (%s) by %s", c.who, c.m.Name, c.offset)
		last := f.others(leader, other)[0]
		daemon := f.show(c.m, lab.UnitName, "MainPID")
		f.must(c.m.ShiftClock(f.ctx, lab.UnitName, c.offset))
		f.throughout(what, 4*time.Second, same) // a session lives for 3 s
		f.works(what, c.m, last)

		// A daemon that begins anew meets the one with the other time: their certificates are good for each other.
		f.must(last.RestartFleettop(f.ctx))
		f.settled(f.machines...)
		f.must(same())

		f.must(c.m.ShiftClock(f.ctx, lab.UnitName, 0))
		f.throughout(what+", undone", 4*time.Second, same)
		f.works(what+", undone", c.m, last)
		f.settled(f.machines...)
		if now := f.leader(); now != leader { // on a busy host a leader may lose its session at any time
			t.Logf("%s: %s led and %s leads", what, leader.Name, now.Name)
		}
		if now := f.show(c.m, lab.UnitName, "MainPID"); now != daemon {
			t.Errorf("%s: the daemon was process %s and is %s", what, daemon, now)
		}
		// What it recorded has its own time.
		for _, e := range f.events(last, began.Add(-2*time.Hour)) {
			switch e.Kind {
			case cluster.EventMoved, cluster.EventFailover, cluster.EventFailed, cluster.EventHold:
				t.Errorf("%s: %s: %s", what, e.Kind, e.Text)
			}
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	f.procs.neverTwice(t, ticks, "fleettop-fence.service")
}

// works checks that a machine's daemon does what it does every day, for a client of its own and one of another machine.
func (f *fleet) works(what string, m, witness *lab.Machine) {
	f.t.Helper()
	for _, by := range []*lab.Machine{m, witness} {
		f.insist(by, append([]string{"start"}, f.write(by, map[string]string{
			"new.service": sleeper("[X-Fleet]", "MachineID="+m.MachineID)})...)...)
		if err := f.listed(by, "new.service", "active"); err != nil {
			f.t.Errorf("%s: new.service on %s: %v", what, by.Name, err)
		}
		f.insist(by, "restart", "new.service")
		f.insist(by, "destroy", "new.service")
		f.eventually("new.service to be gone", soon, func() error {
			if len(f.procs.running("new.service")) > 0 {
				return fmt.Errorf("it runs")
			}
			return nil
		})
		asked := f.uptime()
		f.eventually(what+": the log's last seconds, by "+by.Name, soon, func() error {
			out := f.verb(by, "journal", "--since=-5s", "--output=cat", ticks+"@"+m.Name)
			lines := strings.Fields(out)
			if len(lines) == 0 {
				return fmt.Errorf("it is empty")
			}
			var first, last float64
			fmt.Sscan(lines[0], &first)
			fmt.Sscan(lines[len(lines)-1], &last)
			if last < asked || first < asked-20 {
				return fmt.Errorf("at %.2f it is from %.2f to %.2f", asked, first, last)
			}
			return nil
		})
		if !slices.ContainsFunc(f.events(by, time.Now().Add(-2*time.Hour)), func(e cluster.Event) bool {
			return e.Unit == "new.service"
		}) {
			f.t.Errorf("%s: the timeline on %s has nothing of new.service", what, by.Name)
		}
	}
}
