//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
	"fleettop/cmd/fleetlab/witness"
)

// sinceBoot is the clock of the witnesses.
func sinceBoot() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // it can't fail
	return time.Duration(now.Nano())
}

// bootTime returns what a moment is on the witnesses' clock.
func bootTime(t time.Time) time.Duration { return sinceBoot() - time.Since(t) }

// records returns what units recorded on all machines, from their disks: they may be off or frozen.
func (f *fleet) records(only ...string) (list []witness.Record) {
	for _, m := range f.machines {
		dir := filepath.Join(f.lab.Dir(), m.Name, "root", witness.Dir)
		entries, _ := os.ReadDir(dir) // where no unit ran there is none
		for _, e := range entries {
			if len(only) > 0 && !slices.Contains(only, e.Name()) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			f.must(err)
			list = append(list, witness.Parse(e.Name(), m.Name, text)...)
		}
	}
	return list
}

// say prints a line of progress.
func (c *chaos) say(story witness.Story, kind, text string) {
	fmt.Printf("  %s  %-38s %s\n", story.Clock(sinceBoot()), kind, strings.TrimSpace(text))
}

// eventsSince returns the timeline, as the first machine that can tell it has it.
func (c *chaos) eventsSince(from time.Duration) []cluster.Event {
	since, told := time.Now().Add(from-sinceBoot()), errors.New("none is there")
	for _, m := range c.free() {
		known, err := c.dial(m)
		if err != nil {
			told = err
			continue
		}
		defer known.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		list, err := known.Events(ctx, since.Format(time.RFC3339Nano), 10_000)
		if err == nil {
			return list
		}
		told = err
	}
	c.blame("no machine tells the timeline: " + told.Error())
	return nil
}

const (
	toldViolations = 6 // with their stories
	toldBefore     = 10 * time.Second
	toldAfter      = 5 * time.Second
)

// tell prints the first violations with what the timeline and the daemons said around them.
func (c *chaos) tell(r witness.Report, events []cluster.Event) {
	for i, v := range r.Violations {
		if i == toldViolations {
			return
		}
		fmt.Printf("violation at %s: %s\n", r.Story.Clock(v.At), v.Text)
		for _, fault := range v.Faults {
			fmt.Printf("    %s\n", r.Story.Tell(fault))
		}
		for _, e := range events {
			if at := bootTime(e.Time); at > v.At-toldBefore && at < v.At+toldAfter {
				fmt.Printf("    %s  %s  %s\n", r.Story.Clock(at), e.Kind, e.Text)
			}
		}
		when := time.Now().Add(v.At - sinceBoot())
		for _, m := range c.machines {
			dir := filepath.Join(c.lab.Dir(), m.Name, "root/var/log/journal")
			out, err := exec.Command("journalctl", "--no-pager", "--output=short-precise", "--directory="+dir,
				fmt.Sprintf("--since=@%d", when.Add(-toldBefore).Unix()), fmt.Sprintf("--until=@%d", when.Add(toldAfter).Unix()),
				"_SYSTEMD_UNIT="+lab.UnitName, "+", "UNIT="+lab.UnitName).CombinedOutput()
			fmt.Printf("  the daemon's journal of %s: %v\n%s", m.Name, err, out)
		}
	}
}
