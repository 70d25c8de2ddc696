package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/daemon/api/client"
	"fleettop/units/wording"
)

func (a *app) notifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "notify",
		Short: "Test the notices that daemons send",
		Long: "The leader's daemon tells the receivers of its --notify and --notify-command what happens: a machine failed,\n" +
			"units moved, with the outage, units have no place, a unit failed, nothing is moved, voters changed.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "test",
		Short: "Send a test to the receivers of this machine's daemon",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), a.testNotify)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	})
	return cmd
}

func (a *app) testNotify(ctx context.Context, c *client.Client) error {
	report, err := c.TestNotify(ctx)
	if err != nil {
		return err
	}
	failed := 0
	for _, r := range report.Receivers {
		if r.Error != "" {
			failed++
		}
		switch {
		case a.json():
		case r.Error != "":
			fmt.Fprintf(a.out, "%s: failed after %.1f s: %s\n", r.Receiver, r.Seconds, r.Error)
		default:
			fmt.Fprintf(a.out, "%s: took the test in %.1f s\n", r.Receiver, r.Seconds)
		}
	}
	if a.json() {
		err = print.JSON(a.out, report)
	}
	if err == nil && failed > 0 {
		fmt.Fprintf(a.err, "%s of %d did not take the test: check --notify and --notify-command of the daemon\n",
			wording.Count(failed, "receiver"), len(report.Receivers))
		return errReported
	}
	return err
}
