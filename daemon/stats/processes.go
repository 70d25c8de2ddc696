package stats

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"fleettop/daemon/api"
	"fleettop/units"
	"fleettop/units/proc"
)

const (
	processesWithin = time.Second
	commandMost     = 200 // bytes of a command line
)

// Processes implements server.StatsKeeper.
func (s *Service) Processes(ctx context.Context, unit string, machines []string, local bool) []api.UnitProcesses {
	if local {
		return []api.UnitProcesses{s.processesOf(unit)}
	}
	return gather(ctx, s, machines, processesWithin, func(ctx context.Context, id string) ([]api.UnitProcesses, error) {
		if id == s.cfg.Self {
			return []api.UnitProcesses{s.processesOf(unit)}, nil
		}
		c, err := s.cfg.Peers.Client(id)
		if err != nil {
			return nil, err
		}
		return c.LocalProcesses(ctx, unit)
	}, func(id string, err error) api.UnitProcesses {
		text, _, _ := strings.Cut(err.Error(), "\n")
		if errors.Is(err, context.DeadlineExceeded) {
			text = "it did not answer in time"
		}
		return api.UnitProcesses{Machine: id, Error: text}
	})
}

// processesOf returns a unit's processes on this machine.
func (s *Service) processesOf(unit string) api.UnitProcesses {
	for _, st := range s.units() {
		if st.Name == unit {
			return s.collector.host.processesOf(st, s.cfg.Self)
		}
	}
	return api.UnitProcesses{Machine: s.cfg.Self}
}

// processesOf returns the processes of a unit of a machine, its main process first.
func (h host) processesOf(st units.Status, machine string) api.UnitProcesses {
	out := api.UnitProcesses{Machine: machine, Main: st.PID}
	tree, groups := h.groups(map[string]bool{st.Name: true})
	table := h.processes()
	pids := table.of(st.PID)
	if group, ok := groups[st.Name]; ok {
		out.Group = "/" + group
		pids = groupProcesses(filepath.Join(tree, group))
	}
	slices.Sort(pids)
	if main := slices.Index(pids, st.PID); main > 0 {
		pids = slices.Insert(slices.Delete(pids, main, main+1), 0, st.PID)
	}
	uptime := h.uptime()
	for _, pid := range pids {
		p, ok := table[pid]
		switch {
		case !ok: // it has ended
		case len(out.Processes) == api.ProcessesMost:
			out.More++
		default:
			out.Processes = append(out.Processes, api.Process{PID: pid, Parent: p.Parent, Command: h.command(pid),
				Age: max(0, uptime-proc.SinceBoot(p.Start).Seconds()), CPU: p.CPU.Seconds(), Memory: p.Resident})
		}
	}
	return out
}

// command is a process's command line, or its name in brackets where it has none, as ps shows it.
func (h host) command(pid int) string {
	dir := filepath.Join(h.proc, strconv.Itoa(pid))
	f, err := os.Open(filepath.Join(dir, "cmdline"))
	if err != nil {
		return ""
	}
	defer f.Close()
	line, _ := io.ReadAll(io.LimitReader(f, commandMost))
	line = bytes.ReplaceAll(bytes.TrimRight(line, "\x00"), []byte{0}, []byte{' '})
	if len(line) > 0 {
		return strings.ToValidUTF8(string(line), "")
	}
	name, _ := os.ReadFile(filepath.Join(dir, "comm"))
	if name = bytes.TrimSpace(name); len(name) == 0 {
		return ""
	}
	return "[" + strings.ToValidUTF8(string(name), "") + "]"
}
