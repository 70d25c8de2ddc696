package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cluster"
	"fleettop/cmd/fleettop/internal/demo"
	"fleettop/cmd/fleettop/internal/print"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
)

const (
	demoReady   = 30 * time.Second // for the cluster to be complete
	demoMove    = 30 * time.Second // for units to be active elsewhere
	demoLook    = 25 * time.Millisecond
	demoLogTail = 2048 // bytes of a daemon's log shown when it ended by itself
)

// demoUnits are the services the demo starts.
var demoUnits = []string{"myapp.service", "anotherapp.service", "someapp.service"}

const demoUnit = `[Unit]
Description=A service of the demo

[Service]
ExecStart=/bin/sh -c 'while :; do echo "%p is alive"; sleep 1; done'
`

// errDone ends a watch that has seen what it waited for.
var errDone = errors.New("done")

// theDemo is a demo under way.
type theDemo struct {
	*app
	cluster *demo.Cluster
	files   []string // of demoUnits
}

func (a *app) demoCommand() *cobra.Command {
	var machines int
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a cluster of three machines on this computer; one dies, its units move",
		Long: "demo runs three daemons on loopback, each with an embedded etcd and its units as child\n" +
			"processes. It needs no root, installs nothing and leaves nothing behind. On a terminal the\n" +
			"console opens on it, where K takes a machine's power away and B gives it back; elsewhere\n" +
			"the story of a machine that dies is told once.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if machines < 3 || machines > 9 {
				return usageError{fmt.Errorf("a demo of %d machines: choose 3 to 9, as one must be able to die", machines)}
			}
			return a.runDemo(cmd.Context(), machines)
		},
	}
	cmd.Flags().IntVar(&machines, "machines", 3, "how many machines")
	return cmd
}

func (a *app) runDemo(ctx context.Context, machines int) (err error) {
	// Further signals must not keep the demo from taking its processes with it.
	ctx, stop := untilSignal(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	defer func() {
		if by := (signalled{}); errors.As(context.Cause(ctx), &by) {
			err = by
		}
	}()

	binary, err := os.Executable()
	if err != nil {
		return err
	}
	began := time.Now()
	fmt.Fprintf(a.out, "starting %d machines on this computer, each with a daemon and an etcd member of its own\n", machines)
	c, err := demo.Start(binary, machines)
	if err != nil {
		return err
	}
	d := &theDemo{app: a, cluster: c}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := d.awaitReady(ctx); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "ready after %.1fs; from another terminal, while it runs (%s's socket; each machine has one):\n  %s\n\n", time.Since(began).Seconds(), c.Machines[0].Name, d.reach(binary))
	if err := d.writeUnits(); err != nil {
		return err
	}
	if err := d.verb(ctx, append([]string{"start"}, d.files...)...); err != nil {
		return err
	}
	if print.IsTerminal(a.out) && print.IsTerminal(a.in) {
		return d.console(ctx, "From another terminal: "+d.reach(binary))
	}
	return d.tell(ctx)
}

// reach is a verb that reaches the demo from anywhere on this computer.
func (d *theDemo) reach(binary string) string {
	return "FLEETTOP_ENDPOINT=unix://" + d.cluster.Machines[0].Socket + " " + binary + " list-units"
}

// awaitReady waits until all machines are up and etcd can lose one of them.
func (d *theDemo) awaitReady(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, demoReady)
	defer cancel()
	voters := 3
	if len(d.cluster.Machines) >= 7 {
		voters = 5
	}
	var last error
	for {
		var list *api.MachineList
		c, err := client.Dial("unix://" + d.cluster.Machines[0].Socket)
		if err == nil {
			list, err = c.Machines(limit)
			c.Close()
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
			if leader && up == len(d.cluster.Machines) && voting == voters {
				return nil
			}
			err = fmt.Errorf("%d of %d machines are up, %d of %d voters vote", up, len(d.cluster.Machines), voting, voters)
		}
		last = cmp.Or(err, last)
		for _, m := range d.cluster.Machines {
			select {
			case <-m.Exited():
				return fmt.Errorf("the daemon of %s ended by itself; the end of its log:\n%s", m.Name, tail(m.LogFile(), demoLogTail))
			default:
			}
		}
		select {
		case <-time.After(demoLook):
		case <-limit.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("the cluster is not complete after %s: %w; the end of the log of %s:\n%s", demoReady, last,
				d.cluster.Machines[0].Name, tail(d.cluster.Machines[0].LogFile(), demoLogTail))
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

func (d *theDemo) writeUnits() error {
	for _, name := range demoUnits {
		path := d.cluster.Path(name)
		if err := os.WriteFile(path, []byte(demoUnit), 0o600); err != nil {
			return err
		}
		d.files = append(d.files, path)
	}
	return nil
}

// verb shows a command line and runs it against a machine that is on.
func (d *theDemo) verb(ctx context.Context, args ...string) error {
	shown := make([]string, len(args))
	for i, arg := range args {
		shown[i] = strings.TrimPrefix(arg, d.cluster.Path(""))
	}
	fmt.Fprintf(d.out, "$ fleettop %s\n", strings.Join(shown, " "))
	m, err := d.anyOn(nil)
	if err != nil {
		return err
	}
	if code := run(ctx, append([]string{"--endpoint=unix://" + m.Socket}, args...), d.in, d.out, d.err); code != 0 {
		return fmt.Errorf("fleettop %s ended with code %d", strings.Join(shown, " "), code)
	}
	fmt.Fprintln(d.out)
	return nil
}

// anyOn returns a machine that is on, other than one.
func (d *theDemo) anyOn(other *demo.Machine) (*demo.Machine, error) {
	for _, m := range d.cluster.Machines {
		if m != other && m.On() {
			return m, nil
		}
	}
	return nil, errors.New("all machines are off: switch one on first")
}

// tell is the story of a machine that dies.
func (d *theDemo) tell(ctx context.Context) error {
	if err := d.verb(ctx, "list-unit-files"); err != nil {
		return err
	}
	first, err := d.anyOn(nil)
	if err != nil {
		return err
	}
	client, err := client.Dial("unix://" + first.Socket)
	if err != nil {
		return err
	}
	list, err := client.Units(ctx, true)
	client.Close()
	if err != nil {
		return err
	}
	victim := d.host(list, demoUnits[1])
	if victim == nil {
		return fmt.Errorf("%s is on no machine, and should be", demoUnits[1])
	}
	lost := d.unitsOn(list, victim)
	moved, outage, err := d.powerOff(ctx, victim, lost)
	if err != nil {
		return err
	}
	if err := d.verb(ctx, "list-unit-files"); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "demo: ok machines=%d units=%d moved=%d outage=%.2fs\n", len(d.cluster.Machines), len(demoUnits), moved, outage.Seconds())
	return nil
}

func (d *theDemo) host(list *api.UnitList, unit string) *demo.Machine {
	for _, m := range d.cluster.Machines {
		if slices.Contains(d.unitsOn(list, m), unit) {
			return m
		}
	}
	return nil
}

func (d *theDemo) unitsOn(list *api.UnitList, m *demo.Machine) []string {
	var names []string
	for _, u := range list.Units {
		for _, p := range u.Placements {
			if p.Machine == m.ID && p.Assignment != nil {
				names = append(names, u.Name)
			}
		}
	}
	return names
}

// powerOff takes a machine's power away, shows what happens, and waits until
// its units are active on other machines. The outage is that of the slowest.
func (d *theDemo) powerOff(ctx context.Context, victim *demo.Machine, lost []string) (moved int, outage time.Duration, err error) {
	witness, err := d.anyOn(victim)
	if err != nil {
		return 0, 0, err
	}
	client, err := client.Dial("unix://" + witness.Socket)
	if err != nil {
		return 0, 0, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, demoMove)
	defer cancel()
	var died time.Time
	active := map[string]time.Time{}
	err = client.Watch(ctx, api.WatchOptions{}, func(s *api.State, l *api.Line) error {
		if died.IsZero() {
			fmt.Fprintf(d.out, "%s loses its power, without a goodbye\n", victim.Name)
			var err error
			if died, err = d.cluster.PowerOff(victim); err != nil {
				return err
			}
			return nil
		}
		for _, e := range l.Events {
			if e.Time.After(died) {
				fmt.Fprintf(d.out, "  %5.2fs  %s\n", e.Time.Sub(died).Seconds(), e.Text)
			}
		}
		for _, unit := range lost {
			for p, st := range s.Statuses {
				if _, known := active[unit]; !known && p.Unit == unit && p.Machine != victim.ID && st.Active == "active" {
					active[unit] = time.Now()
				}
			}
		}
		if len(active) == len(lost) && d.told(l) {
			return errDone
		}
		return nil
	})
	if !errors.Is(err, errDone) {
		return 0, 0, fmt.Errorf("%d of the %d units of %s are active elsewhere after %s: %w", len(active), len(lost), victim.Name, demoMove, err)
	}
	for _, at := range active {
		outage = max(outage, at.Sub(died))
	}
	fmt.Fprintln(d.out)
	return len(active), outage, nil
}

// told tells whether the failover's last word is on the timeline.
func (d *theDemo) told(l *api.Line) bool {
	return slices.ContainsFunc(l.Events, func(e cluster.Event) bool { return e.Kind == cluster.EventFailover })
}
