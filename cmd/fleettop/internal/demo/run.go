package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/tui"
)

const moveLimit = 30 * time.Second // for units to be active elsewhere

// services are the services the demo starts.
var services = []string{"myapp.service", "anotherapp.service", "someapp.service"}

const serviceFile = `[Unit]
Description=A service of the demo

[Service]
ExecStart=/bin/sh -c 'while :; do echo "%p is alive"; sleep 1; done'
`

// errMoved ends a watch that has seen the units move.
var errMoved = errors.New("moved")

// Options say how a demo is run and shown.
type Options struct {
	Binary   string // fleettop's
	Machines int
	Out      io.Writer // for the story
	// Verb runs a command line and returns its exit code.
	Verb func(ctx context.Context, args ...string) int
	// Console shows the console; without it the story of a machine that dies is told.
	Console func(context.Context, tui.Options) error
}

// run is a demo under way.
type run struct {
	Options
	cluster *Cluster
	files   []string // of the services
}

// Run starts the machines and the services, shows what there is to see, and
// returns when all of it is gone again. It returns ctx's error when that ends.
func Run(ctx context.Context, o Options) (err error) {
	began := time.Now()
	fmt.Fprintf(o.Out,
		"starting %d machines on this computer, each with a daemon and an etcd member of its own\n", o.Machines)
	c, err := Start(o.Binary, o.Machines)
	if err != nil {
		return err
	}
	r := &run{Options: o, cluster: c}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.AwaitReady(ctx); err != nil {
		return err
	}
	fmt.Fprintf(o.Out,
		"ready after %.1fs; from another terminal, while it runs (%s's socket; each machine has one):\n  %s\n\n",
		time.Since(began).Seconds(), c.Machines[0].Name, r.reach())
	if err := r.writeUnits(); err != nil {
		return err
	}
	if err := r.verb(ctx, append([]string{"start"}, r.files...)...); err != nil {
		return err
	}
	if o.Console != nil {
		return r.console(ctx)
	}
	return r.tell(ctx)
}

// reach returns a verb that reaches the demo from anywhere on this computer.
func (r *run) reach() string {
	return "FLEETTOP_ENDPOINT=unix://" + r.cluster.Machines[0].Socket + " " + r.Binary + " list-units"
}

func (r *run) writeUnits() error {
	for _, name := range services {
		path := r.cluster.Path(name)
		if err := os.WriteFile(path, []byte(serviceFile), 0o600); err != nil {
			return err
		}
		r.files = append(r.files, path)
	}
	return nil
}

// verb shows a command line and runs it against a machine that is on.
func (r *run) verb(ctx context.Context, args ...string) error {
	shown := make([]string, len(args))
	for i, arg := range args {
		shown[i] = strings.TrimPrefix(arg, r.cluster.Path(""))
	}
	fmt.Fprintf(r.Out, "$ fleettop %s\n", strings.Join(shown, " "))
	m, err := r.anyOn(nil)
	if err != nil {
		return err
	}
	if code := r.Verb(ctx, append([]string{"--endpoint=unix://" + m.Socket}, args...)...); code != 0 {
		return fmt.Errorf("fleettop %s ended with code %d", strings.Join(shown, " "), code)
	}
	fmt.Fprintln(r.Out)
	return nil
}

// anyOn returns a machine that is on, other than one.
func (r *run) anyOn(other *Machine) (*Machine, error) {
	for _, m := range r.cluster.Machines {
		if m != other && m.On() {
			return m, nil
		}
	}
	return nil, errors.New("all machines are off: switch one on first")
}

// tell shows the story of a machine that dies.
func (r *run) tell(ctx context.Context) error {
	if err := r.verb(ctx, "list-unit-files"); err != nil {
		return err
	}
	first, err := r.anyOn(nil)
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
	victim := r.host(list, services[1])
	if victim == nil {
		return fmt.Errorf("%s is on no machine, and should be", services[1])
	}
	lost := r.unitsOn(list, victim)
	moved, outage, err := r.powerOff(ctx, victim, lost)
	if err != nil {
		return err
	}
	if err := r.verb(ctx, "list-unit-files"); err != nil {
		return err
	}
	fmt.Fprintf(r.Out, "demo: ok machines=%d units=%d moved=%d outage=%.2fs\n", len(r.cluster.Machines), len(services),
		moved, outage.Seconds())
	return nil
}

func (r *run) host(list *api.UnitList, unit string) *Machine {
	for _, m := range r.cluster.Machines {
		if slices.Contains(r.unitsOn(list, m), unit) {
			return m
		}
	}
	return nil
}

func (r *run) unitsOn(list *api.UnitList, m *Machine) []string {
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
func (r *run) powerOff(ctx context.Context, victim *Machine, lost []string) (moved int, outage time.Duration,
	err error) {
	witness, err := r.anyOn(victim)
	if err != nil {
		return 0, 0, err
	}
	client, err := client.Dial("unix://" + witness.Socket)
	if err != nil {
		return 0, 0, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, moveLimit)
	defer cancel()
	var died time.Time
	active := map[string]time.Time{}
	err = client.Watch(ctx, api.WatchOptions{}, func(s *api.State, l *api.Line) error {
		if died.IsZero() {
			fmt.Fprintf(r.Out, "%s loses its power, without a goodbye\n", victim.Name)
			var err error
			if died, err = r.cluster.PowerOff(victim); err != nil {
				return err
			}
			return nil
		}
		for _, e := range l.Events {
			if e.Time.After(died) {
				fmt.Fprintf(r.Out, "  %5.2fs  %s\n", e.Time.Sub(died).Seconds(), e.Text)
			}
		}
		for _, unit := range lost {
			for p, st := range s.Statuses {
				if _, known := active[unit]; !known && p.Unit == unit && p.Machine != victim.ID && st.Active == "active" {
					active[unit] = time.Now()
				}
			}
		}
		if len(active) == len(lost) && told(l) {
			return errMoved
		}
		return nil
	})
	if !errors.Is(err, errMoved) {
		return 0, 0, fmt.Errorf("%d of the %d units of %s are active elsewhere after %s: %w", len(active), len(lost),
			victim.Name, moveLimit, err)
	}
	for _, at := range active {
		outage = max(outage, at.Sub(died))
	}
	fmt.Fprintln(r.Out)
	return len(active), outage, nil
}

// told reports whether the failover's last word is on the timeline.
func told(l *api.Line) bool {
	return slices.ContainsFunc(l.Events, func(e cluster.Event) bool { return e.Kind == cluster.EventFailover })
}
