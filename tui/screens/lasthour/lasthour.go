// Package lasthour is the part of a screen that shows what a machine, or a unit on its
// machines, used during the last hour: as the daemons kept it, and as this console saw it.
package lasthour

import (
	"context"
	"math"
	"slices"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/daemon/api"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/theme"
	"fleettop/tui/widgets"
)

const (
	patience = 3 * time.Second
	every    = 30 * time.Second // as often as there is something new
	// columnsMost is one a minute: with more, columns would stay empty between what is measured.
	columnsMost = 60
)

// Part is that part. Its zero value is not usable, call New.
type Part struct {
	unit string // empty for the machine as a whole

	asked   time.Time
	asking  bool
	of      []string // machines that were asked
	samples map[string][]state.Sample
	cpus    int
	memory  int64 // the machine's
}

// answer is what the daemon says.
type answer struct {
	part   *Part
	series []api.StatsHistory
	err    error
}

// New returns the part for a unit, or for machines where it is empty.
func New(unit string) *Part { return &Part{unit: unit} }

// Update takes the part's own messages, and asks again in time; machines are those to be asked.
func (p *Part) Update(env *screens.Env, msg tea.Msg, machines []string) tea.Cmd {
	if a, ok := msg.(answer); ok && a.part == p {
		p.asking = false
		if a.err == nil {
			p.take(a.series, env.Now)
		}
		return nil
	}
	due := p.asked.IsZero() || env.Now.Sub(p.asked) >= every || !slices.Equal(p.of, machines)
	if p.asking || !due || len(machines) == 0 {
		return nil
	}
	p.asking, p.asked, p.of = true, env.Now, machines
	client, unit := env.Client, p.unit
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		a := answer{part: p}
		a.series, a.err = client.StatsHistory(ctx, unit, machines...)
		return a
	}
}

// take replaces what machines said before.
func (p *Part) take(list []api.StatsHistory, now time.Time) {
	if p.samples == nil {
		p.samples = map[string][]state.Sample{}
	}
	for _, h := range list {
		p.cpus, p.memory = h.CPUs, h.MemoryTotal
		var samples []state.Sample
		for i, cpu := range h.CPU {
			if cpu >= 0 && i < len(h.Memory) {
				ago := h.Ago + float64(len(h.CPU)-1-i)*h.Every
				samples = append(samples, state.Sample{At: now.Add(-time.Duration(ago * float64(time.Second))), CPU: cpu, Memory: h.Memory[i]})
			}
		}
		p.samples[h.Machine] = samples
	}
}

// Graph is a line: what it shows, bars of the last hour, and what they come to.
type Graph struct{ Name, Bars, Note string }

// Graphs are the part's lines in at most some columns, for machines; none where nothing is known.
// now is what is used at this moment.
func (p *Part) Graphs(env *screens.Env, machines []string, now api.UnitStats, known bool, width int) []Graph {
	var all []state.Sample
	for _, id := range machines {
		said := p.samples[id]
		own := env.Trends.Of(id, p.unit)
		if len(said) > 0 { // what the daemon kept is the better one, where it has it
			first := said[0].At
			own = slices.DeleteFunc(own, func(s state.Sample) bool { return !s.At.Before(first) })
		}
		all = append(append(all, own...), said...)
	}
	if len(all) == 0 {
		return nil
	}
	const names, notes = 8, 26
	n := min(columnsMost, width-names-notes)
	if n < 6 {
		n = max(0, min(columnsMost, width-names-12))
	}
	if n < 6 {
		return nil
	}
	cpu := state.Columns(all, env.Now, n, func(s state.Sample) float64 { return s.CPU })
	memory := state.Columns(all, env.Now, n, func(s state.Sample) float64 { return float64(s.Memory) })
	peakCPU, peakMemory := peak(cpu), peak(memory)
	topCPU, topMemory := max(peakCPU, 0.01), max(peakMemory, 1)
	if p.unit == "" && p.cpus > 0 { // of a machine the whole is known
		topCPU, topMemory = float64(p.cpus), float64(max(1, p.memory))
	}
	last := all[len(all)-1]
	if known {
		last.CPU, last.Memory = now.CPU, now.Memory
	}
	return []Graph{
		{"cpu", Bars(env.Theme, cpu, topCPU), note(widgets.Cores(last.CPU)+"%", widgets.Cores(max(peakCPU, last.CPU))+"%", known)},
		{"memory", Bars(env.Theme, memory, topMemory), note(widgets.Bytes(last.Memory), widgets.Bytes(max(int64(peakMemory), last.Memory)), known)},
	}
}

func note(now, peak string, known bool) string {
	if !known {
		return "peak " + peak
	}
	return "now " + now + ", peak " + peak
}

func peak(values []float64) (most float64) {
	for _, v := range values {
		if v > most { // never true of NaN
			most = v
		}
	}
	return most
}

// Bars are values as bars up to a top, with blanks where nothing is known.
func Bars(t *theme.Theme, values []float64, top float64) string {
	out := ""
	for _, v := range values {
		if math.IsNaN(v) {
			out += " "
			continue
		}
		out += t.Sparks[max(0, min(len(t.Sparks)-1, int(v/top*float64(len(t.Sparks)))))]
	}
	return out
}
