//go:build e2e && figures

package e2e

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
)

// growth is one daemon's samples over time.
type growth struct {
	machine *lab.Machine
	at      []time.Time
	samples []map[string]float64
}

// sample takes one more.
func (g *growth) sample(f *fleet) error {
	now, err := f.counts(g.machine)
	if err == nil {
		g.at, g.samples = append(g.at, time.Now()), append(g.samples, now)
	}
	return err
}

// warm returns the samples of a resource without the first third, in which a
// daemon fills its caches.
func (g *growth) warm(r resource) (at []time.Time, values []float64) {
	for i := len(g.samples) / 3; i < len(g.samples); i++ {
		if v, ok := g.samples[i][r.metric]; ok {
			at, values = append(at, g.at[i]), append(values, v/r.unit)
		}
	}
	return at, values
}

// trend is how a resource developed.
type trend struct {
	median, daily float64 // of the samples; per 24 hours
	grew          bool
}

// leastSamples say something of a trend.
const leastSamples = 10

// trend judges a resource by the median of the slopes between all pairs of
// samples, which a few odd ones don't change: it grew if that slope, over the
// time that was looked at, is more than the resource's slack.
func (g *growth) trend(r resource) (t trend, ok bool) {
	at, values := g.warm(r)
	if len(values) < leastSamples {
		return trend{}, false
	}
	var slopes []float64
	for i := range values {
		for j := range i {
			slopes = append(slopes, (values[i]-values[j])/at[i].Sub(at[j]).Hours())
		}
	}
	slope := middle(slopes)
	over := at[len(at)-1].Sub(at[0]).Hours()
	return trend{middle(values), slope * 24, slope*over > r.slack}, true
}

func middle(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[len(sorted)/2]
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
