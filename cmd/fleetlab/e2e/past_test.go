//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/history"
	"fleettop/tui/tuitest"
)

// TestPast takes the power from a machine: replay tells of it what events did, and the console's
// past has its units where they were, while now has them where they are.
func TestPast(t *testing.T) {
	f := newFleet(t, 3, setup{})
	units := []string{"a.service", "b.service", "c.service"}
	f.start(f.machines[0], sleepers(units...))
	leader := f.leader()
	victim := f.others(leader)[0]
	witness := f.others(victim)[0]
	lost := f.unitsOn(victim, units)
	placed := time.Now()
	f.eventually("the past to be older than a second", soon, func() error {
		if time.Since(placed) < 2*time.Second {
			return errors.New("it isn't")
		}
		return nil
	})
	if len(lost) == 0 {
		t.Fatalf("%s has none of the units", victim.Name)
	}
	died, err := victim.Kill()
	f.must(err)
	f.failoverTold(witness, victim, died)

	told := map[string]time.Duration{}
	var events []cluster.Event
	f.must(json.Unmarshal([]byte(f.verb(witness, "events", "-o", "json")), &events))
	for _, e := range events {
		if e.Kind == cluster.EventActive && e.Outage != nil && e.Time.After(died) {
			told[e.Unit] = e.Outage.Total()
		}
	}
	var replay struct {
		Start struct {
			MachinesUp int `json:"machinesUp"`
			Placed     int `json:"placed"`
			Unknown    int `json:"unknown"`
		} `json:"start"`
		Summary history.Report `json:"summary"`
	}
	from := died.Add(-time.Second).Format(time.RFC3339Nano)
	f.must(json.Unmarshal([]byte(f.verb(witness, "replay", "--from", from, "-o", "json")), &replay))
	if r := replay.Start; r.MachinesUp != 3 || r.Placed != len(units) || r.Unknown != 0 {
		t.Errorf("before the power-off there were %+v", r)
	}
	failed := replay.Summary.Failed
	if len(failed) != 1 || failed[0].State != cluster.Failed || len(replay.Summary.Moved) != len(lost) {
		t.Errorf("%s lost %v, and replay tells %+v", victim.Name, lost, replay.Summary)
	}
	for _, m := range replay.Summary.Moved {
		if m.Outage == nil || m.Outage.Total() != told[m.Unit] || m.From == m.To {
			t.Errorf("%s was away for %s by events, and replay tells %+v", m.Unit, told[m.Unit], m)
		}
	}
	text := f.verb(witness, "replay", "--from", from)
	t.Logf("replay prints\n%s", text)
	if !strings.Contains(text, lost[0]+"  "+victim.Name+" -> ") || !strings.Contains(text, "failed machines  "+victim.Name) {
		t.Errorf("replay prints\n%s", text)
	}

	cmd := witness.Command(f.ctx, "fleettop")
	cmd.Env = append(cmd.Env, "TERM=xterm-256color")
	screen, err := tuitest.StartPty(cmd, 120, 40)
	f.must(err)
	row := func(what string, good func(line string) bool) {
		t.Helper()
		f.must(screen.AwaitThat(what, soon, func(text string) bool {
			for line := range strings.Lines(text) {
				if strings.Contains(line, lost[0]) && good(line) {
					return true
				}
			}
			return false
		}))
	}
	f.must(screen.Await("2/3 machines up", soon))
	f.must(screen.Type("2"))
	row("the unit where it is", func(line string) bool { return !strings.Contains(line, "failed") })
	f.must(screen.Type(fmt.Sprintf(":past %s\r", died.Add(-100*time.Millisecond).Format(time.RFC3339Nano))))
	f.must(screen.Await(" PAST ", soon))
	row("the unit where it was", func(line string) bool {
		return strings.Contains(line, victim.Name) && !strings.Contains(line, "→") && strings.Contains(line, "running")
	})
	f.must(screen.Type("\x1b"))
	f.must(screen.Await("2/3 machines up", soon))
	row("the unit where it is", func(line string) bool {
		return strings.Contains(line, "→ ") || !strings.Contains(line, victim.Name)
	})
	f.must(screen.Type("q"))
	_ = screen.Close(soon)
}
