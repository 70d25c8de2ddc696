package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/cmd/fleettop/internal/unitfiles"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/tui/draw"
	"fleettop/units"
	"fleettop/units/wording"
)

// unitRow is a line of a table of units.
type unitRow struct {
	api.UnitRow
	Name    string     `json:"machineName,omitempty"`
	Address string     `json:"address,omitempty"`
	Failure *api.Error `json:"error,omitempty"`
	Store   *api.Store `json:"store,omitempty"` // where this is not current
}

// unitColumns are the fields of list-units.
func unitColumns(full bool) []column[unitRow] {
	return []column[unitRow]{
		{"unit", func(r unitRow) print.Cell { return print.Text(r.Unit) }},
		{"machine", func(r unitRow) print.Cell {
			return print.Text(print.OrDash(print.Machine(r.Machine, r.Address, full)))
		}},
		{"load", func(r unitRow) print.Cell { return print.Coloured(print.OrDash(r.Load), print.LoadColour(r.Load)) }},
		{"active", func(r unitRow) print.Cell { return print.Coloured(print.OrDash(r.Active), print.StateColour(r.Active)) }},
		{"sub", func(r unitRow) print.Cell { return print.Coloured(print.OrDash(r.Sub), print.StateColour(r.Active)) }},
		{"hash", func(r unitRow) print.Cell { return print.Text(print.OrDash(print.ShortHash(r.runs(), full))) }},
		{"name", func(r unitRow) print.Cell { return print.Text(print.OrDash(r.Name)) }},
		{"desc", func(r unitRow) print.Cell { return print.Text(print.OrDash(r.Description)) }},
		{"reason", func(r unitRow) print.Cell { return print.Text(print.OrDash(r.Reason)) }},
		{"error", func(r unitRow) print.Cell { return print.Coloured(print.OrDash(r.Error), print.Red) }},
		{"byhand", func(r unitRow) print.Cell { return print.Coloured(print.OrDash(r.ByHand), print.Yellow) }},
	}
}

// runs is the hash of the file the machine has.
func (r unitRow) runs() string {
	if r.Running != "" {
		return r.Running
	}
	return r.Hash
}

// fileColumns are the fields of list-unit-files.
func fileColumns(full bool) []column[unitRow] {
	target := func(r unitRow) print.Cell {
		switch {
		case r.Global:
			return print.Text("global")
		case r.Machine != "":
			return print.Text(print.Machine(r.Machine, r.Address, full))
		case r.Reason != "":
			return print.Coloured("-", print.Yellow)
		}
		return print.Coloured("-", print.Dim)
	}
	return []column[unitRow]{
		{"unit", func(r unitRow) print.Cell { return print.Text(r.Unit) }},
		{"hash", func(r unitRow) print.Cell {
			if r.Template != "" {
				return print.Coloured(print.ShortHash(r.Hash, full), print.Yellow)
			}
			return print.Text(print.ShortHash(r.Hash, full))
		}},
		{"dstate", func(r unitRow) print.Cell { return print.Text(string(r.Desired)) }},
		{"state", func(r unitRow) print.Cell {
			if r.Global {
				return print.Coloured("-", print.Dim)
			}
			return print.Coloured(string(r.State), print.StateColour(string(r.State)))
		}},
		{"target", target},
		{"tmachine", target},
		{"desc", func(r unitRow) print.Cell { return print.Text(print.OrDash(r.Description)) }},
		{"template", func(r unitRow) print.Cell {
			switch {
			case r.Template != "":
				return print.Coloured("another now ("+print.ShortHash(r.Template, full)+")", print.Yellow)
			case r.FromTemplate:
				return print.Text("same")
			}
			return print.Coloured("-", print.Dim)
		}},
		{"global", func(r unitRow) print.Cell { return print.Text(fmt.Sprint(r.Global)) }},
		{"reason", func(r unitRow) print.Cell { return print.Text(print.OrDash(r.Reason)) }},
	}
}

func (a *app) listUnitsCommand() *cobra.Command {
	var t tableFlags
	cmd := &cobra.Command{
		Use:   "list-units [UNIT|GLOB...]",
		Short: "List the units on machines and how they do",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.listUnits(cmd.Context(), &t, unitColumns, true, args)
		},
		ValidArgsFunction: a.completeUnits,
	}
	t.register(cmd, "unit,machine,active,sub", columnNames(unitColumns(false)))
	return cmd
}

func (a *app) listUnitFilesCommand() *cobra.Command {
	var t tableFlags
	cmd := &cobra.Command{
		Use:   "list-unit-files [UNIT|GLOB...]",
		Short: "List the unit files and what is wanted of them",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.listUnits(cmd.Context(), &t, fileColumns, false, args)
		},
		ValidArgsFunction: a.completeUnits,
	}
	t.register(cmd, "unit,hash,dstate,state,target", columnNames(fileColumns(false)))
	return cmd
}

// listUnits prints a table: with placed a row for each unit on each of its
// machines, without it a row for each unit file.
func (a *app) listUnits(ctx context.Context, t *tableFlags, all func(full bool) []column[unitRow], placed bool,
	args []string) error {
	columns, err := chosen(t, all(t.full))
	if err != nil {
		return err
	}
	return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
		table, err := c.Table(ctx, placed, unitfiles.Names(args)...)
		if err != nil {
			return err
		}
		a.warnStale(table.Store)
		a.warnHeld(table.Hold)
		rows := unitRows(table, placed)
		if a.json() {
			return print.JSON(a.out, rows)
		}
		if err := printTable(a, t, columns, rows); err != nil {
			return err
		}
		switch {
		case len(rows) == 0 && len(args) > 0:
			fmt.Fprintf(a.err, "Nothing matches %s.%s\n", strings.Join(args, " "), elsewhere(placed))
		case !placed:
			a.noteTemplates(t, rows)
			a.noteUnplaced(t, rows)
		default:
			a.noteUnplaced(t, rows)
			a.noteRetries(t, rows, time.Now())
			a.noteByHand(t, rows)
		}
		return nil
	})
}

// elsewhere is where to look for units that no machine has.
func elsewhere(placed bool) string {
	if placed {
		return " `fleettop list-unit-files` shows units that are on no machine, too."
	}
	return ""
}

func unitRows(table *api.UnitTable, placed bool) []unitRow {
	refs := refsByID(table.Machines)
	rows := make([]unitRow, 0, len(table.Rows))
	for _, r := range table.Rows {
		row := unitRow{UnitRow: r}
		if !placed && r.Leaving {
			row.Machine = ""
		}
		if n := len(rows) - 1; !placed && n >= 0 && rows[n].Unit == r.Unit {
			if rows[n].Machine != "" || row.Machine == "" {
				continue // a file has one row, with the machine it is assigned to
			}
			rows = rows[:n]
		}
		if row.Machine != "" {
			m := refs[row.Machine]
			row.Name, row.Address = m.Name, m.Address
		}
		row.Store = stale(table.Store)
		if row.Error != "" {
			row.Failure = failureText(codeFailed, row.Error)
		}
		rows = append(rows, row)
	}
	return rows
}

func refsByID(list []api.MachineRef) map[string]api.MachineRef {
	refs := make(map[string]api.MachineRef, len(list))
	for _, m := range list {
		refs[m.ID] = m
	}
	return refs
}

// noteTemplates says which instances keep an earlier content of their template.
func (a *app) noteTemplates(t *tableFlags, rows []unitRow) {
	var behind []string
	for _, r := range rows {
		if r.Template != "" {
			behind = append(behind, r.Unit)
		}
	}
	if len(behind) > 0 && !t.noLegend {
		fmt.Fprintf(a.err, "\nTheir template's content is another now: %s. "+
			"`fleettop start --replace` with their names takes it.\n", some(behind))
	}
}

// noteByHand tells a person at a terminal what was done to units without the cluster.
func (a *app) noteByHand(t *tableFlags, rows []unitRow) {
	if t.noLegend || !print.IsTerminal(a.out) {
		return
	}
	var lines []string
	for _, r := range rows {
		if r.ByHand != "" {
			lines = append(lines, "  "+r.Unit+": "+r.ByHand)
		}
	}
	a.noteSome(lines, "changed by hand", "byhand")
}

// noteRetries tells a person at a terminal which units failed and wait for their next try.
func (a *app) noteRetries(t *tableFlags, rows []unitRow, now time.Time) {
	if t.noLegend || !print.IsTerminal(a.out) {
		return
	}
	var lines []string
	for _, r := range rows {
		if !r.RetryAt.IsZero() {
			lines = append(lines, "  "+r.Unit+": "+draw.Clean(r.Reason)+nextTry(r.RetryAt, now))
		}
	}
	a.noteSome(lines, "to be tried again", "reason")
}

// nextTry says in how long a unit that failed is tried again.
func nextTry(at, now time.Time) string {
	if wait := at.Sub(now); wait >= time.Second {
		return " in " + wording.Age(wait)
	}
	return " now"
}

// noteSome prints the first of some lines, with a title, and which field of the table has the others.
func (a *app) noteSome(lines []string, title, field string) {
	const most = 5
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(a.err, "\n%d %s:\n%s\n", len(lines), title, strings.Join(lines[:min(most, len(lines))], "\n"))
	if len(lines) > most {
		fmt.Fprintf(a.err, "  and %d more: see --fields unit,%s\n", len(lines)-most, field)
	}
}

// noteUnplaced tells a person at a terminal what has no place and why.
func (a *app) noteUnplaced(t *tableFlags, rows []unitRow) {
	if t.noLegend || !print.IsTerminal(a.out) {
		return
	}
	var lines []string
	for _, r := range rows {
		if r.Machine == "" && r.Reason != "" && r.Desired != units.Inactive {
			lines = append(lines, "  "+r.Unit+": "+r.Reason)
		}
	}
	a.noteSome(lines, "not placed", "reason")
}
