//go:build e2e && figures

package e2e

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
)

var failovers = flag.Int("failovers", 20, "power-offs in TestFailover")

// The figures to reach. The tests say whether they were: how fast a machine is
// that others share can't fail a test.
const (
	outageMedian = time.Second
	outageP90    = 2 * time.Second
)

// run is one power-off.
type run struct {
	leader, etcd bool // the victim led the cluster, or etcd
	units        int
	outage       time.Duration // from the power-off to the last unit active, by the machines' own systemd
	told         cluster.Outage
}

// TestFailover powers machines off, the leader's and others in turn, and
// boots them again.
func TestFailover(t *testing.T) {
	f := newFleet(t, 5, setup{limit: time.Minute + time.Duration(*failovers)*time.Minute})
	var names []string
	for i := range 10 {
		names = append(names, "trivial"+strconv.Itoa(i)+".service")
	}
	f.start(f.machines[0], sleepers(names...))

	var runs []run
	for i := range *failovers {
		leader, etcd := f.leader(), f.etcdLeader()
		victim := leader
		if i%2 == 1 {
			victim = f.others(leader)[i/2%4]
		}
		f.atRest(3 * time.Second)
		lost := f.unitsOn(victim, names)
		if len(lost) == 0 { // it came back empty from an earlier run
			f.spread(victim, names)
			lost = f.unitsOn(victim, names)
		}
		before := f.procs.snapshot()
		died, err := victim.Kill()
		f.must(err)
		r := run{leader: victim == leader, etcd: victim == etcd, units: len(lost)}
		r.outage = f.activeElsewhere(lost, victim, died)
		r.told = f.failoverTold(f.others(victim)[0], victim, died)
		f.procs.unchanged(t, before, victim)
		t.Logf("%2d %s%s, %d units: outage %.3f s; the timeline: %s (%s); load %s", i+1, victim.Name, r.roles(), r.units,
			r.outage.Seconds(), phasesOf(r.told), f.verdictOn(f.others(victim)[0], victim, died), loadAverage(t))
		runs = append(runs, r)

		f.must(victim.Boot(f.ctx))
		f.must(victim.WaitBooted(f.ctx))
		f.settled(f.machines...)
		for _, unit := range names {
			f.home(unit)
		}
	}
	f.procs.neverTwice(t)
	if len(runs) == 0 {
		return
	}
	of := func(phase func(run) time.Duration) []time.Duration {
		var list []time.Duration
		for _, r := range runs {
			list = append(list, phase(r))
		}
		return list
	}
	outages := of(func(r run) time.Duration { return r.outage })
	t.Logf("%d power-offs in a lab of five; median, p90 and max in seconds (fleet 1.0: median 25.0 by default, 4.4 tuned)",
		len(runs))
	t.Logf("  outage  %s", summary(outages))
	t.Logf("  detect  %s", summary(of(func(r run) time.Duration { return r.told.Detect })))
	t.Logf("  decide  %s", summary(of(func(r run) time.Duration { return r.told.Decide })))
	t.Logf("  start   %s", summary(of(func(r run) time.Duration { return r.told.Start })))
	t.Logf("figure: median outage %.3f s, at most %s: %s", quantile(outages, 0.5).Seconds(), outageMedian,
		verdict(quantile(outages, 0.5) <= outageMedian))
	t.Logf("figure: p90 of the outage %.3f s, at most %s: %s", quantile(outages, 0.9).Seconds(), outageP90,
		verdict(quantile(outages, 0.9) <= outageP90))
}

// atRest waits until all machines have been up for a time, in the eyes of each. One that has just booted looks anew at
// a machine that it has no sign of life of since it has its session, and that takes a moment longer.
func (f *fleet) atRest(d time.Duration) {
	f.t.Helper()
	f.eventually("the cluster to be at rest", soon, func() error {
		for _, m := range f.machines {
			list, err := f.client(m).Machines(f.ctx)
			if err != nil {
				return err
			}
			for _, o := range list.Machines {
				if o.Health.State != cluster.Up || time.Since(o.Health.Since) < d {
					return fmt.Errorf("%s sees %s %s since %s", m.Name, o.Name, o.Health.State, o.Health.Since)
				}
			}
		}
		return nil
	})
}

// verdictOn is what the timeline says that the verdict on a dead machine rests on, and when it was reached.
func (f *fleet) verdictOn(witness, victim *lab.Machine, died time.Time) string {
	f.t.Helper()
	for _, e := range f.events(witness, died) {
		if _, why, ok := strings.Cut(e.Text, " failed: "); ok && e.Kind == cluster.EventMachine && e.Machine == victim.MachineID {
			return fmt.Sprintf("%s, %.3f s after the power-off", why, e.Time.Sub(died).Seconds())
		}
	}
	return "no verdict"
}

// roles tells what the victim was.
func (r run) roles() string {
	switch {
	case r.leader && r.etcd:
		return " (leader, etcd's leader)"
	case r.leader:
		return " (leader)"
	case r.etcd:
		return " (etcd's leader)"
	}
	return ""
}

// spread places all units anew, so that every machine has some.
func (f *fleet) spread(m *lab.Machine, names []string) {
	f.t.Helper()
	f.verb(m, append([]string{"unload"}, names...)...)
	f.verb(m, append([]string{"start"}, names...)...)
}

// activeElsewhere waits until units are active on other machines than the one
// that died, and returns how long the last of them took, by the machines' own systemd.
func (f *fleet) activeElsewhere(lost []string, victim *lab.Machine, died time.Time) time.Duration {
	f.t.Helper()
	var last time.Duration
	for _, unit := range lost {
		_, outage := f.movedTo(unit, victim, died, time.Minute)
		last = max(last, outage)
	}
	return last
}

// quantile returns the smallest duration that a share of the list doesn't exceed.
func quantile(list []time.Duration, share float64) time.Duration {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[max(0, min(len(sorted)-1, int(share*float64(len(sorted))+0.999999)-1))]
}

func summary(list []time.Duration) string {
	return fmt.Sprintf("%.3f  %.3f  %.3f", quantile(list, 0.5).Seconds(), quantile(list, 0.9).Seconds(),
		slices.Max(list).Seconds())
}

func verdict(reached bool) string {
	if reached {
		return "OK"
	}
	return "MISS"
}
