package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
)

func machineColumns(full bool) []column[api.MachineInfo] {
	return []column[api.MachineInfo]{
		{"machine", func(m api.MachineInfo) print.Cell { return print.Text(print.ShortID(m.ID, full)) }},
		{"ip", func(m api.MachineInfo) print.Cell { return print.Text(print.OrDash(m.Address)) }},
		{"metadata", func(m api.MachineInfo) print.Cell { return print.Text(print.OrDash(metadata(m.Metadata))) }},
		{"name", func(m api.MachineInfo) print.Cell { return print.Text(print.OrDash(m.Name)) }},
		{"state", func(m api.MachineInfo) print.Cell {
			return print.Coloured(stateOf(m), print.StateColour(string(m.Health.State)))
		}},
		{"schedule", func(m api.MachineInfo) print.Cell {
			return print.Coloured(print.OrDash(string(m.Schedule)), print.StateColour(string(m.Schedule)))
		}},
		{"units", func(m api.MachineInfo) print.Cell { return print.Text(fmt.Sprint(m.Units)) }},
		{"version", func(m api.MachineInfo) print.Cell { return print.Text(print.OrDash(m.Version)) }},
		{"manager", func(m api.MachineInfo) print.Cell { return print.Text(print.OrDash(m.Manager)) }},
		{"evidence", func(m api.MachineInfo) print.Cell { return print.Text(print.OrDash(m.Health.Evidence)) }},
		{"seen-by", func(m api.MachineInfo) print.Cell { return print.Text(print.OrDash(print.ShortID(m.Health.By, full))) }},
	}
}

func stateOf(m api.MachineInfo) string {
	s := string(m.Health.State)
	if m.Leader {
		s += ", leader"
	}
	return s
}

// metadata returns a machine's metadata as fleet prints it.
func metadata(m map[string]string) string {
	pairs := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, k+"="+m[k])
	}
	return strings.Join(pairs, ",")
}

const allMachineFields = "machine,name,ip,state,schedule,units,metadata"

func (a *app) listMachinesCommand() *cobra.Command {
	var t tableFlags
	var all bool
	cmd := &cobra.Command{
		Use:   "list-machines",
		Short: "List the machines that are up; with --all the others too, and their states",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if all && !cmd.Flags().Changed("fields") {
				t.fields = allMachineFields
			}
			columns, err := chosen(&t, machineColumns(t.full))
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				list, err := c.Machines(ctx)
				if err != nil {
					return err
				}
				a.warnStale(list.Store)
				a.warnHeld(list.Hold)
				rows := list.Machines
				if a.json() {
					return print.JSON(a.out, machineRows(list))
				}
				var gone []string
				if !all {
					rows = slices.DeleteFunc(slices.Clone(rows), func(m api.MachineInfo) bool {
						if !m.Health.State.Runs() {
							gone = append(gone, fmt.Sprintf("%s (%s)", m.Name, m.Health.State))
							return true
						}
						return false
					})
				}
				if err := printTable(a, &t, columns, rows); err != nil {
					return err
				}
				if len(gone) > 0 && !t.noLegend && print.IsTerminal(a.out) {
					fmt.Fprintf(a.err, "\nNot up: %s. See `fleettop list-machines --all`.\n", strings.Join(gone, ", "))
				}
				return nil
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	t.register(cmd, "machine,ip,metadata", columnNames(machineColumns(false)))
	cmd.Flags().BoolVarP(&all, "all", "a", false, "include machines that are not up, and show states")
	return cmd
}

func (a *app) forgetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "forget MACHINE...",
		Short: "Remove the record of a machine that is gone for good",
		Args:  atLeastOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachMachine(cmd.Context(), args, "forgotten",
				func(ctx context.Context, c *client.Client, name string) (*api.Machine, error) {
					return c.Forget(ctx, name)
				})
		},
		ValidArgsFunction: a.completeMachines,
	}
}

// eachMachine does something to each machine; one that fails doesn't keep the others from it.
func (a *app) eachMachine(ctx context.Context, args []string, done string,
	do func(context.Context, *client.Client, string) (*api.Machine, error)) error {
	return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
		failed := false
		list := make([]any, 0, len(args))
		for _, name := range args {
			m, err := do(ctx, c, name)
			if refusal, ok := err.(*api.Error); ok {
				failed = true
				fmt.Fprintln(a.err, refusal)
				list = append(list, failedMachine{name, refusal})
				continue
			}
			if err != nil {
				return err
			}
			if a.json() {
				list = append(list, newMachineRow(*m))
			} else if _, err = fmt.Fprintf(a.out, "Machine %s (%s) is %s\n",
				print.ShortID(m.ID, false), print.OrDash(m.Name), done); err != nil {
				return err
			}
		}
		if a.json() {
			if err := print.JSON(a.out, list); err != nil {
				return err
			}
		}
		if failed {
			return errReported
		}
		return nil
	})
}
