//go:build e2e

package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
)

// outcome is what was counted in one condition.
type outcome struct {
	condition string
	interval  time.Duration // zero for the default
	hours     float64       // of one machine
	// Without a death: verdicts of the leader, which are in the timeline; verdicts
	// of any machine, by the logs of their daemons; units that were moved, and
	// whose process changed; times that the leader held moves back.
	failed, seen, moved, touched, holds int
	suspicions                          int             // of any machine about any other, by the same logs
	detect                              []time.Duration // from a power-off to the verdict
	evidence                            []string        // of what should not have been
	finished                            bool
}

// falseOnes is how much happened that may not happen while all machines live. What a machine that
// doesn't lead takes for failed moves nothing; it is told beside that.
func (c *outcome) falseOnes() int { return c.failed + c.moved + c.touched }

// String is the outcome in a line.
func (c *outcome) String() string {
	return fmt.Sprintf("%d verdicts failed without a death, %d in the eyes of any machine, %d units moved, %d processes "+
		"changed, %d holds, %d suspicions in %.2f machine-hours", c.failed, c.seen, c.moved, c.touched, c.holds,
		c.suspicions, c.hours)
}

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
	machines := slices.DeleteFunc(slices.Clone(f.machines), func(m *lab.Machine) bool { // those that are off say nothing
		return slices.ContainsFunc(deaths, func(d death) bool { return d.machine == m.MachineID })
	})
	for _, m := range machines {
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
	for _, m := range machines {
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

// failure reports whether an event tells of the verdict that a machine failed.
func failure(e cluster.Event) bool {
	return e.Kind == cluster.EventMachine && e.State == cluster.Failed && strings.Contains(e.Text, " failed: ")
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
