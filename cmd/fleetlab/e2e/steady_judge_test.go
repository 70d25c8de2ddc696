//go:build e2e && figures

package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
)

// death is the time in which a machine had no power, or was not of the cluster again.
type death struct {
	machine  string
	from, to time.Time
}

// dead reports whether a machine was dead at a time.
func dead(deaths []death, machine string, at time.Time) bool {
	for _, d := range deaths {
		// A verdict is dated by the machine that reached it: lab machines share a clock.
		if d.machine == machine && !at.Before(d.from) && !at.After(d.to) {
			return true
		}
	}
	return false
}

// judge adds to an outcome what was decided since a time, as if a machine had died
// that lived: by the timelines of all machines, and by the logs of their daemons.
func (f *fleet) judge(tl *outcome, since time.Time, deaths []death) {
	f.t.Helper()
	note := func(format string, args ...any) { tl.evidence = append(tl.evidence, fmt.Sprintf(format, args...)) }
	told := map[string]bool{}
	for _, m := range f.machines {
		for _, e := range f.events(m, since) {
			if told[e.ID] {
				continue
			}
			told[e.ID] = true
			at := e.Time.Format("15:04:05.000")
			switch {
			case failure(e) && !dead(deaths, e.Machine, e.Time):
				tl.failed++
				note("%s timeline: %s", at, e.Text)
			case e.Kind == cluster.EventMoved && !dead(deaths, e.From, e.Time):
				tl.moved++
				note("%s timeline: %s", at, e.Text)
			case e.Kind == cluster.EventHold && e.Text != "failovers are no longer held":
				tl.holds++
				note("%s timeline: %s", at, e.Text)
			}
		}
	}
	for _, m := range f.machines {
		for _, v := range f.verdictsOf(m, since) {
			switch {
			case dead(deaths, v.machine, v.at) || dead(deaths, m.MachineID, v.at):
			case v.state == cluster.Suspect:
				tl.suspicions++
			case v.state == cluster.Failed:
				tl.seen++
				note("%s %s: %s", v.at.Format("15:04:05.000"), m.Name, v.line)
			}
		}
	}
}

// seenVerdict is a line of a daemon's log about another machine.
type seenVerdict struct {
	at      time.Time
	machine string
	state   cluster.HealthState
	line    string
}

var verdictLine = regexp.MustCompile(`^(\d+\.\d+) .*msg="machine is ([a-z-]+)" machine=([0-9a-f]{32}) `)

// verdictsOf reads the verdicts that a machine's daemon reached, from its journal on the disk.
func (f *fleet) verdictsOf(m *lab.Machine, since time.Time) []seenVerdict {
	f.t.Helper()
	dir := filepath.Join(f.lab.Dir(), m.Name, "root/var/log/journal")
	out, err := exec.CommandContext(f.ctx, "journalctl", "--no-pager", "--output=short-unix", "--directory="+dir,
		fmt.Sprintf("--since=@%d", since.Unix()), "_SYSTEMD_UNIT="+lab.UnitName).Output()
	if err != nil {
		f.t.Errorf("the log of the daemon of %s: %v", m.Name, err)
	}
	var list []seenVerdict
	for line := range strings.Lines(string(out)) {
		match := verdictLine.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		seconds, err := strconv.ParseFloat(match[1], 64)
		f.must(err)
		if at := time.UnixMicro(int64(seconds * 1e6)); !at.Before(since) {
			list = append(list, seenVerdict{at, match[3], cluster.HealthState(match[2]), strings.TrimSpace(line)})
		}
	}
	return list
}

// growths are samples to be taken of every daemon.
func (f *fleet) growths() []*growth {
	var list []*growth
	for _, m := range f.machines {
		list = append(list, &growth{machine: m})
	}
	return list
}

// report says whether the daemons grew, by resource.
func report(t *testing.T, idle []*growth) {
	t.Helper()
	if len(idle) == 0 {
		return
	}
	var b strings.Builder
	grew := 0
	for _, r := range resources {
		fmt.Fprintf(&b, "%-16s", r.name)
		for _, g := range idle {
			tr, ok := g.trend(r)
			switch {
			case !ok:
				fmt.Fprintf(&b, "  %20s", "-")
				continue
			case tr.grew:
				grew++
			}
			fmt.Fprintf(&b, "  %s %7.1f %+9.1f", g.machine.Name, tr.median, tr.daily)
			if tr.grew {
				b.WriteString("!")
			}
		}
		b.WriteString("\n")
	}
	t.Logf("what the daemons take when idle, and how much more it gets in 24 hours by its median slope, of %d samples each:\n%s",
		len(idle[0].samples), b.String())
	t.Logf("figure: %d of them grew by more than comes and goes, at most 0: %s", grew, verdict(grew == 0))
}
