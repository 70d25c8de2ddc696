package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/cmd/fleettop/internal/unitfiles"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/tui/draw"
	"fleettop/units/wording"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain UNIT",
		Short: "Tell why a unit is where it is, and what keeps it from each other machine",
		Args:  exactlyOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				ex, err := c.Explain(ctx, unitfiles.Name(args[0]))
				if err != nil {
					return err
				}
				a.warnStale(ex.Store)
				if a.json() {
					return print.JSON(a.out, newExplanation(ex))
				}
				return a.printExplanation(ex)
			})
		},
		ValidArgsFunction: a.completeUnits,
	}
}

// explanation is the API's for programs: a machine's name is called as everywhere.
type explanation struct {
	*api.Explanation
	Verdicts []machineVerdict `json:"verdicts"`
	Store    *api.Store       `json:"store,omitempty"` // where this is not current
}

type machineVerdict struct {
	api.Verdict
	MachineName string    `json:"machineName"`
	Name        *struct{} `json:"name,omitempty"` // hides the verdict's
}

func newExplanation(ex *api.Explanation) explanation {
	out := explanation{ex, make([]machineVerdict, 0, len(ex.Verdicts)), stale(ex.Store)}
	for _, v := range ex.Verdicts {
		out.Verdicts = append(out.Verdicts, machineVerdict{Verdict: v, MachineName: v.Name})
	}
	return out
}

// printExplanation tells facts in the indicative, as of when they were known,
// and what would be decided in the subjunctive.
func (a *app) printExplanation(ex *api.Explanation) error {
	now := time.Now()
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", ex.Unit, draw.Clean(ex.Reason))
	here := print.Coloured("here", print.Green)
	for _, p := range ex.Places {
		fmt.Fprintf(&b, "  %s\n", draw.Clean(whereabouts(p, ex.Store, now)))
	}
	if ex.Moving != "" {
		fmt.Fprintf(&b, "  %s\n", draw.Clean(ex.Moving))
	}
	if ex.Would != "" {
		fmt.Fprintf(&b, "  decided now, %s\n", draw.Clean(ex.Would))
	}
	if _, err := io.WriteString(a.out, b.String()); err != nil {
		return err
	}
	if !ex.Store.Connected {
		here = print.Coloured("was here", print.Yellow)
	}
	on := map[string]bool{}
	for _, id := range ex.On {
		on[id] = true
	}
	rows := make([][]print.Cell, 0, len(ex.Verdicts))
	for _, v := range ex.Verdicts {
		word := print.Coloured("no", print.Yellow)
		switch {
		case on[v.Machine]:
			word = here
		case v.OK:
			word = print.Coloured("could", print.Plain)
		}
		rows = append(rows, []print.Cell{print.Text("  " + print.OrDash(v.Name)),
			print.Text(print.ShortID(v.Machine, false)), word, print.Text(v.Reason)})
	}
	return print.Table(a.out, a.coloured(a.out), rows)
}

// whereabouts says where a unit is and how it does there, and how old that is.
func whereabouts(p api.Place, st api.Store, now time.Time) string {
	how := "nothing is reported of it"
	if p.Active != "" {
		how = fmt.Sprintf("%s (%s)", p.Active, print.OrDash(p.Sub))
	}
	switch {
	case p.Lost != "":
		return fmt.Sprintf("it was on %s, which is %s%s: %s", p.Name, p.Lost, since(p.LostSince, now), how)
	case !st.Connected:
		return fmt.Sprintf("it was on %s when the store was last seen, %s ago: %s", p.Name,
			wording.Age(max(0, now.Sub(st.Since))), how)
	}
	return fmt.Sprintf("it is on %s%s: %s", p.Name, since(p.Placed, now), how)
}
