package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/units/wording"
)

func (a *app) connectivityCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "connectivity",
		Short: "Tell which machine reaches which: by gossip, probe, store and API, each by its own word",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				got, err := c.Connectivity(ctx)
				if err != nil {
					return err
				}
				if a.json() {
					return print.JSON(a.out, newConnectivity(got))
				}
				return a.printConnectivity(got)
			})
		},
	}
}

// connectivity is the API's for programs: machines are called as everywhere.
type connectivity struct {
	*api.Connectivity
	Machines []machineRef `json:"machines"`
}

type machineRef struct {
	Machine     string `json:"machine"`
	MachineName string `json:"machineName"`
	Address     string `json:"address"`
}

func newConnectivity(c *api.Connectivity) connectivity {
	out := connectivity{c, make([]machineRef, 0, len(c.Machines))}
	for _, m := range c.Machines {
		out.Machines = append(out.Machines, machineRef{m.ID, m.Name, m.Address})
	}
	return out
}

// connectivityLegend explains the cells of the matrix.
const connectivityLegend = "A row is what that machine says of the others. G gossip, P probe, S session in the store, A API; a hyphen stands\n" +
	"for what doesn't work. Then the time since the last sign of life in gossip."

// printConnectivity prints the matrix and what is wrong.
func (a *app) printConnectivity(c *api.Connectivity) error {
	head := []print.Cell{print.Coloured("FROM", print.Bold)}
	for _, m := range c.Machines {
		head = append(head, print.Coloured(m.Label(), print.Bold))
	}
	rows := [][]print.Cell{append(head, print.Coloured("STORE", print.Bold))}
	for i := range c.Views {
		v := &c.Views[i]
		row := []print.Cell{print.Text(c.Machines[i].Label())}
		for _, m := range c.Machines {
			row = append(row, connectivityCell(v, m.ID))
		}
		store := print.Coloured(v.DescribeStore(), print.Plain)
		switch {
		case v.Error != "":
			store = print.Coloured(v.Error, print.Red)
		case v.Store != api.Answered:
			store.Colour = print.Red
		}
		rows = append(rows, append(row, store))
	}
	if err := print.Table(a.out, a.coloured(a.out), rows); err != nil {
		return err
	}
	for i, text := range c.Sentences {
		if i == 0 {
			text = "\n" + text
		}
		if _, err := fmt.Fprintln(a.out, text); err != nil {
			return err
		}
	}
	if print.IsTerminal(a.out) {
		fmt.Fprintf(a.err, "\n%s\n", connectivityLegend)
	}
	return nil
}

// connectivityCell is what a machine sees of another one.
func connectivityCell(v *api.Connections, id string) print.Cell {
	contact := v.Of(id)
	switch {
	case v.Error != "":
		return print.Coloured("?", print.Red)
	case contact == nil:
		return print.Text(".")
	}
	text := contact.Letters()
	if contact.Gossip != "" {
		text += " " + wording.Age(api.Span(contact.GossipAge))
	}
	colour := print.Green
	switch {
	case !contact.Reaches():
		colour = print.Red
	case !contact.Well():
		colour = print.Yellow
	}
	return print.Coloured(text, colour)
}
