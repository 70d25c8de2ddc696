package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"fleettop/cluster/schedule"
	"fleettop/daemon/api"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain UNIT",
		Short: "Tell why a unit is where it is, and what keeps it from each other machine",
		Args:  exactlyOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(ctx context.Context, c *api.Client) error {
				ex, err := c.Explain(ctx, unitName(args[0]))
				if err != nil {
					return err
				}
				if a.json() {
					return writeJSON(a.out, newExplanation(ex))
				}
				return a.printExplanation(ex)
			})
		},
		ValidArgsFunction: a.completeUnits,
	}
}

// explanation is schedule's for programs: a machine's name is called as everywhere.
type explanation struct {
	*schedule.Explanation
	Verdicts []machineVerdict `json:"verdicts"`
}

type machineVerdict struct {
	schedule.Verdict
	MachineName string    `json:"machineName"`
	Name        *struct{} `json:"name,omitempty"` // hides the verdict's
}

func newExplanation(ex *schedule.Explanation) explanation {
	out := explanation{ex, make([]machineVerdict, 0, len(ex.Verdicts))}
	for _, v := range ex.Verdicts {
		out.Verdicts = append(out.Verdicts, machineVerdict{Verdict: v, MachineName: v.Name})
	}
	return out
}

func (a *app) printExplanation(ex *schedule.Explanation) error {
	if _, err := fmt.Fprintf(a.out, "%s: %s\n", ex.Unit, ex.Reason); err != nil {
		return err
	}
	on := map[string]bool{}
	for _, id := range ex.On {
		on[id] = true
	}
	rows := make([][]cell, 0, len(ex.Verdicts))
	for _, v := range ex.Verdicts {
		word := cell{"no", yellow}
		switch {
		case on[v.Machine]:
			word = cell{"here", green}
		case v.OK:
			word = cell{"could", plain}
		}
		rows = append(rows, []cell{{text: "  " + orDash(v.Name)}, {text: shortID(v.Machine, false)}, word, {text: v.Reason}})
	}
	return writeTable(a.out, a.coloured(a.out), rows)
}
