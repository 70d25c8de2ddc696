package cli

import (
	sddaemon "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"fleettop/units/fence"
	"fleettop/units/systemd"
)

// fenceCommand is this machine's fence for exclusive units, as its service runs it.
func (a *app) fenceCommand() *cobra.Command {
	var end, user bool
	cmd := &cobra.Command{
		Use:    "fence DIR",
		Short:  "Stop this machine's exclusive units when the daemon no longer extends their deadline",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !end {
				return fence.Serve(cmd.Context(), args[0], func(state string) { sddaemon.SdNotify(false, state) })
			}
			if a.env.getenv("SERVICE_RESULT") == "success" {
				return nil // it was lowered, or stopped after the units
			}
			return systemd.EndFenced(cmd.Context(), user)
		},
	}
	cmd.Flags().BoolVar(&end, "end", false, "kill what is left of the units whose fence ended")
	cmd.Flags().BoolVar(&user, "of-user", false, "of the user's own systemd")
	return cmd
}
