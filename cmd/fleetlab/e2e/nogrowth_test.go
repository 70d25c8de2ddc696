//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
	"fleettop/daemon/api"
	"fleettop/journal"
	"fleettop/tui/tuitest"
)

// resource is something of which a daemon must not take more and more.
type resource struct {
	name   string
	metric string  // of /metrics
	unit   float64 // in which it is shown
	// slack is what may come and go, in units: a connection, a collection of garbage.
	slack float64
}

const mebibyte = 1 << 20

var resources = []resource{
	{"goroutines", "go_goroutines", 1, 6},
	{"descriptors", "process_open_fds", 1, 6},
	{"resident MiB", "process_resident_memory_bytes", mebibyte, 12},
	{"heap MiB", "go_memstats_heap_alloc_bytes", mebibyte, 12},
	{"etcd MiB in use", "etcd_mvcc_db_total_size_in_use_in_bytes", mebibyte, 1},
	{"D-Bus matches", busMatches, 1, 0.5},
	{"systemd units", loadedUnits, 1, 0.5},
}

// What isn't in /metrics: the match rules of all on the machine's bus, and the units that its systemd has in memory.
const (
	busMatches  = "bus_matches"
	loadedUnits = "loaded_units"
)

// counts reads what a machine's daemon takes now, by metric.
func (f *fleet) counts(m *lab.Machine) (map[string]float64, error) {
	path, err := m.HostPath("/run/fleettop/fleettop.sock")
	if err != nil {
		return nil, err
	}
	asker := &http.Client{Timeout: soon, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}}}
	resp, err := asker.Get("http://fleettop/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	found := map[string]float64{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if slices.ContainsFunc(resources, func(r resource) bool { return r.metric == name }) {
			if found[name], err = strconv.ParseFloat(value, 64); err != nil {
				return nil, err
			}
		}
	}
	if _, ok := found["go_goroutines"]; !ok {
		return nil, fmt.Errorf("/metrics of %s tells of no goroutines", m.Name)
	}
	out, err := m.Exec(f.ctx, "busctl", "--system", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus",
		"org.freedesktop.DBus.Debug.Stats", "GetStats")
	if err != nil {
		return nil, err
	}
	_, rest, ok := strings.Cut(out, `"MatchRules" u `)
	if !ok {
		return nil, fmt.Errorf("the bus of %s tells of no match rules: %s", m.Name, out)
	}
	if found[busMatches], err = strconv.ParseFloat(strings.Fields(rest)[0], 64); err != nil {
		return nil, err
	}
	out, err = m.Exec(f.ctx, "systemctl", "list-units", "--all", "--no-legend", "--plain")
	found[loadedUnits] = float64(strings.Count(out, "\n"))
	return found, err
}

// The activity of TestNoGrowth: leaks of one event in two show.
const (
	growthRounds = 8
	growthUnits  = 3 // started, stopped and destroyed in each round
	growthSlack  = growthRounds / 2
)

// TestNoGrowth attaches watchers, followers of logs and of the timeline, and
// consoles, has them go, and starts, stops and destroys units: whatever comes
// and goes, a daemon then has the goroutines, descriptors and matches that it
// had before, and systemd the units.
func TestNoGrowth(t *testing.T) {
	f := newFleet(t, 3, setup{unwatched: true})
	f.start(f.machines[0], map[string]string{"speaks.service": "[Service]\nExecStart=/bin/sh -c 'while echo word; do sleep 0.2; done'\n"})
	round := func(i int) {
		var group errgroup.Group
		for _, m := range f.machines {
			f.attach(&group, m)
		}
		files := sleepers(named(fmt.Sprintf("round%d-%%d.service", i), growthUnits)...)
		var names []string
		for name := range files {
			names = append(names, name)
		}
		m := f.machines[i%len(f.machines)]
		f.start(m, files)
		f.verb(m, append([]string{"stop"}, names...)...)
		f.verb(m, append([]string{"destroy"}, names...)...)
		f.must(group.Wait())
	}
	for i := range 2 { // what is made once is made now
		round(i)
	}
	before := map[*lab.Machine]map[string]float64{}
	f.throughout("the daemons to come to rest", 5*time.Second, func() error {
		for _, m := range f.machines {
			now, err := f.counts(m)
			if err != nil {
				return err
			}
			if before[m] == nil {
				before[m] = now
			}
			for what, n := range now { // the least: connections of a moment ago go one after the other
				before[m][what] = min(before[m][what], n)
			}
		}
		return nil
	})
	for i := range growthRounds {
		round(2 + i)
	}
	for _, m := range f.machines {
		var now map[string]float64
		f.eventually("the daemon of "+m.Name+" to have what it had", 2*soon, func() (err error) {
			if now, err = f.counts(m); err != nil {
				return err
			}
			for _, r := range resources {
				if r.unit == 1 && now[r.metric] > before[m][r.metric]+growthSlack {
					err = errors.Join(err, fmt.Errorf("it had %.0f %s, and has %.0f", before[m][r.metric], r.name, now[r.metric]))
				}
			}
			return err
		})
		for _, r := range resources {
			t.Logf("%s: %s: %.1f, and %.1f after %d rounds", m.Name, r.name, before[m][r.metric]/r.unit, now[r.metric]/r.unit,
				growthRounds)
		}
	}
}

// attach has readers of every kind come to a machine's daemon, read and go, and a console on its terminal.
func (f *fleet) attach(group *errgroup.Group, m *lab.Machine) {
	enough := errors.New("enough")
	c := f.client(m)
	read := func(what string, reader func(context.Context) error) {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(f.ctx, soon)
			defer cancel()
			if err := reader(ctx); !errors.Is(err, enough) {
				return fmt.Errorf("%s of %s: %w", what, m.Name, err)
			}
			return nil
		})
	}
	for range 2 {
		read("watch", func(ctx context.Context) error {
			return c.Watch(ctx, api.WatchOptions{}, func(*api.State, *api.Line) error { return enough })
		})
		read("journal", func(ctx context.Context) error {
			return c.Journal(ctx, api.JournalOptions{Unit: "speaks.service", Lines: 1, Follow: true},
				func(journal.Entry) error { return enough })
		})
	}
	read("timeline", func(ctx context.Context) error {
		return c.FollowEvents(ctx, "", 1, func(cluster.Event) error { return enough })
	})
	read("stats", func(ctx context.Context) error {
		return c.Stats(ctx, func(api.Stats) error { return enough })
	})
	group.Go(func() error {
		cmd := m.Command(f.ctx, "fleettop")
		cmd.Env = append(cmd.Env, "TERM=xterm-256color")
		screen, err := tuitest.StartPty(cmd, 100, 30)
		if err != nil {
			return err
		}
		err = screen.Await("machines up", soon)
		screen.HangUp()
		_ = screen.Close(soon) // it ends by the end of its terminal
		return err
	})
}
