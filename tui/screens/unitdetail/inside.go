package unitdetail

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/daemon/api"
	"fleettop/tui/draw"
	"fleettop/tui/screens"
	"fleettop/tui/widgets"
	"fleettop/units"
	"fleettop/units/wording"
)

const (
	processesEvery = 3 * time.Second
	processesShown = 8
	machinesShown  = 3
)

// running is what a daemon says of the unit's processes.
type running struct {
	of       *Screen
	machines []api.UnitProcesses
	err      error
}

// on are the machines that the unit is on, or was on a moment ago.
func (s *Screen) on(env *screens.Env) (machines []string) {
	for _, r := range env.Snap.Of(s.unit) {
		for _, id := range []string{r.Machine, moveFrom(r)} {
			if id != "" && !slices.Contains(machines, id) && len(machines) < machinesShown {
				machines = append(machines, id)
			}
		}
	}
	return machines
}

// inside asks for what goes on inside of the unit: what it used, and its processes.
func (s *Screen) inside(env *screens.Env, msg tea.Msg) tea.Cmd {
	machines := s.on(env)
	cmd := s.hour.Update(env, msg, machines)
	if a, ok := msg.(running); ok && a.of == s {
		s.processesAsked = false
		if a.err == nil {
			s.processes, s.processesAt = a.machines, env.Now
		}
		return cmd
	}
	if s.processesAsked || len(machines) == 0 || env.Now.Sub(s.processesDue) < processesEvery {
		return cmd
	}
	s.processesAsked, s.processesDue = true, env.Now
	client, unit := env.Client, s.unit
	return tea.Batch(cmd, func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), processesEvery)
		defer cancel()
		a := running{of: s}
		a.machines, a.err = client.Processes(ctx, unit, machines...)
		return a
	})
}

// usage is what the unit used during the last hour.
func (s *Screen) usage(env *screens.Env, w int) []line {
	t := env.Theme
	now, known := api.UnitStats{}, false
	for _, r := range env.Snap.Of(s.unit) {
		if u, ok := env.Snap.UseOf(r); ok {
			now.CPU, now.Memory, known = now.CPU+u.CPU, now.Memory+u.Memory, true
		}
	}
	graphs := s.hour.Graphs(env, s.on(env), now, known, w-2)
	if len(graphs) == 0 {
		return nil
	}
	out := []line{head(env, "Last hour", w)}
	for _, g := range graphs {
		out = append(out, line{{" " + g.Name + blanks(7-len(g.Name)), t.Dim}, {g.Bars, t.Info}, {" " + g.Note, t.Dim}}.cut(w))
	}
	return append(out, nil)
}

// processList is the unit's processes, by machine.
func (s *Screen) processList(env *screens.Env, w int) (out []line) {
	t := env.Theme
	for _, m := range s.processes {
		if m.Error == "" && len(m.Processes) == 0 {
			continue
		}
		title := "Processes"
		if m.Machine != "" {
			title += " on " + env.Snap.Called(m.Machine)
		}
		out = append(out, head(env, title, w))
		if m.Error != "" {
			out = append(out, under(line{{" ", t.Dim}}, "not known: "+draw.Clean(m.Error), t.Busy, w-1)...)
			continue
		}
		if m.Group != "" {
			out = append(out, line{{" cgroup ", t.Dim}, {draw.Fit(draw.Clean(m.Group), w-9), t.Text}})
		}
		out = append(out, line{{fmt.Sprintf(" %7s %4s %6s %5s  %s", "PID", "AGE", "CPU", "MEM", "COMMAND"), t.Dim}}.cut(w))
		shown := m.Processes
		if len(shown) > processesShown+1 {
			shown = shown[:processesShown]
		}
		older := env.Now.Sub(s.processesAt)
		for _, p := range shown {
			ink := t.Text
			if p.PID == m.Main {
				ink = t.Strong
			}
			out = append(out, line{{fmt.Sprintf(" %7d %4s %6s %5s  ", p.PID, widgets.Age(api.Span(p.Age)+older),
				wording.Age(api.Span(p.CPU)), widgets.Bytes(p.Memory)), t.Dim}, {draw.Clean(p.Command), ink}}.cut(w))
		}
		if more := len(m.Processes) - len(shown) + m.More; more > 0 {
			out = append(out, line{{" … " + strconv.Itoa(more) + " more", t.Dim}})
		}
		out = append(out, nil)
	}
	return out
}

// dependencies are the units that the unit's file names, with the states of those the cluster has.
func (s *Screen) dependencies(env *screens.Env, w int) []line {
	if s.detail == nil {
		return nil
	}
	file, err := units.ParseFile(s.detail.Content)
	name, bad := units.ParseName(s.unit)
	if err != nil || bad != nil {
		return nil
	}
	r := file.Relations(name)
	var starts []string
	if r.Starts != "" {
		starts = []string{r.Starts}
	}
	t := env.Theme
	var out []line
	for _, kind := range []struct {
		what  string
		names []string
	}{{"starts", starts}, {"needs", r.Binds}, {"starts with it", r.Pulls}, {"stops with", r.Follows}, {"stops", r.Ends},
		{"after", r.After}, {"before", r.Before}, {"wanted by", r.PulledBy}} {
		if len(kind.names) == 0 {
			continue
		}
		l := line{{" " + kind.what + blanks(15-len(kind.what)), t.Dim}}
		for _, other := range kind.names {
			rows := env.Snap.Of(other)
			more := []piece{{draw.Clean(other) + "  ", t.Dim}} // the machine's own, or not there
			if len(rows) > 0 {
				more = []piece{{widgets.Glyph(t, rows[0].Mood) + " ", widgets.Ink(t, rows[0].Mood)}, {draw.Clean(other), t.Text},
					{" " + strings.TrimSpace(rows[0].Word+" "+rows[0].Host) + "  ", t.Dim}}
			}
			if long := append(slices.Clone(l), more...); long.width() > w && l.width() > 16 {
				out, l = append(out, l), append(line{{blanks(16), t.Dim}}, more...)
			} else {
				l = long
			}
		}
		out = append(out, l.cut(w))
	}
	if len(out) == 0 {
		return nil
	}
	return append(append([]line{head(env, "Dependencies in its file", w)}, out...), nil)
}
