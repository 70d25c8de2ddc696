//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"fleettop/cmd/fleetlab/lab"
	"fleettop/daemon/notify"
)

const noticesFile = "/run/notices"

// TestNotices takes the power from the leader's machine: the next leader says once that
// it failed, what became of its units, and that it is back.
func TestNotices(t *testing.T) {
	f := newFleet(t, 3, setup{options: func(m *lab.Machine) string {
		return longGrace(m) + " --notify-command=/etc/fleettop/tell"
	}})
	for _, m := range f.machines {
		f.must(m.WriteFile("/etc/fleettop/tell", []byte("#!/bin/sh\nexec cat >>"+noticesFile+"\n"), 0o755))
	}
	units := []string{"a.service", "b.service", "c.service", "d.service", "e.service", "f.service"}
	f.start(f.machines[0], sleepers(units...))
	if said := f.verb(f.machines[1], "notify", "test"); !strings.Contains(said, "command /etc/fleettop/tell: took the test") {
		t.Errorf("notify test said %q", said)
	}
	victim := f.leader()
	lost := f.unitsOn(victim, units)
	died, err := victim.Kill()
	f.must(err)
	f.told(notify.MachineFailed, victim)
	over := f.told(notify.Failover, victim)
	if over.OutageSeconds <= 0 || !strings.Contains(over.Text, fmt.Sprintf("%d units moved", len(lost))) {
		t.Errorf("%s lost %d units, and the notice is %+v", victim.Name, len(lost), over)
	}
	t.Logf("%s died at %s: %s", victim.Name, died.Format("15:04:05.000"), over.Text)
	f.reboot(victim)
	f.told(notify.MachineBack, victim)
}

// told waits for a notice about a machine, and checks that it was sent once.
func (f *fleet) told(kind notify.Kind, about *lab.Machine) (notice notify.Notice) {
	f.t.Helper()
	f.eventually(fmt.Sprintf("a notice of the kind %s", kind), soon, func() error {
		times := 0
		for _, m := range f.machines {
			text, err := m.ReadFile(noticesFile)
			if err != nil {
				continue // it was told nothing, or is off
			}
			for line := range strings.Lines(string(text)) {
				var n notify.Notice
				f.must(json.Unmarshal([]byte(line), &n))
				if n.Kind == kind && n.Machine == about.Name {
					notice = n
					times++
				}
			}
		}
		if times > 1 {
			f.t.Errorf("%s was told %d times: %q", kind, times, notice.Text)
		}
		if times == 0 {
			return fmt.Errorf("no machine was told that")
		}
		return nil
	})
	return notice
}
