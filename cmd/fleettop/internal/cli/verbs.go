package cli

import (
	"github.com/spf13/cobra"

	"fleettop/daemon/api"
)

// verb is an entry of the command line.
type verb struct {
	group   string
	command func(*app) *cobra.Command
	traits  []string
}

// Traits of commands, kept in their annotations.
const (
	looks  = "looks"  // it changes nothing anywhere: --read-only lets it
	noJSON = "noJSON" // its output has no form in JSON
	own    = "own"    // it is about a machine's own files and processes
)

// The groups of the verbs in the help, and their titles.
var groups = []*cobra.Group{{ID: "units", Title: "Units:"}, {ID: "look", Title: "Looking:"},
	{ID: "machines", Title: "Machines:"}, {ID: "run", Title: "Running it:"}}

// verbs returns all there are, but for help and completion, which cobra makes.
func verbs() []verb {
	return []verb{
		{"units", action(api.Submit, "submit FILE...", "Make unit files known to the cluster"), nil},
		{"units", action(api.Load, "load UNIT|FILE...", "Give units to machines, without starting them"), nil},
		{"units", action(api.Start, "start UNIT|FILE...", "Start units, submitting local files first"), nil},
		{"units", action(api.Stop, "stop UNIT|GLOB...", "Stop units; they stay loaded on their machines"), nil},
		{"units", action(api.Restart, "restart UNIT|GLOB...", "Stop and start units where they are"), nil},
		{"units", action(api.Unload, "unload UNIT|GLOB...", "Stop units and take them from their machines"), nil},
		{"units", action(api.Destroy, "destroy UNIT|GLOB...", "Stop units and forget them"), nil},
		{"units", (*app).adoptCommand, nil},
		{"units", action(api.Release, "release UNIT|GLOB...", "Give units to their machines' own systemd, running on"), nil},
		{"units", (*app).verifyCommand, []string{looks}},

		{"look", (*app).listUnitsCommand, []string{looks}},
		{"look", (*app).listUnitFilesCommand, []string{looks}},
		{"look", (*app).statusCommand, []string{looks}},
		{"look", (*app).catCommand, []string{looks}},
		{"look", (*app).explainCommand, []string{looks}},
		{"look", (*app).journalCommand, []string{looks}},
		{"look", (*app).eventsCommand, []string{looks}},
		{"look", (*app).replayCommand, []string{looks}},

		{"machines", (*app).listMachinesCommand, []string{looks}},
		{"machines", (*app).connectivityCommand, []string{looks}},
		{"machines", (*app).cordonCommand, nil},
		{"machines", (*app).drainCommand, nil},
		{"machines", (*app).uncordonCommand, nil},
		{"machines", (*app).rebalanceCommand, nil},
		{"machines", (*app).drillCommand, nil},
		{"machines", (*app).forgetCommand, nil},
		{"machines", (*app).leaveCommand, nil},
		{"machines", (*app).sshCommand, []string{noJSON}},
		{"machines", (*app).joinCommandCommand, nil},
		{"machines", (*app).joinCommand, []string{own}},

		{"run", (*app).daemonCommand, []string{noJSON, own}},
		{"run", (*app).backupCommand, []string{looks}},
		{"run", (*app).restoreCommand, nil},
		{"run", (*app).recoverCommand, []string{own}},
		{"run", (*app).keyCommand, []string{looks, noJSON, own}},
		{"run", (*app).notifyCommand, []string{looks, noJSON}},
		{"run", (*app).demoCommand, []string{noJSON, own}},
		{"run", (*app).dialStdioCommand, []string{noJSON}},
		{"run", (*app).fenceCommand, []string{noJSON, own}},
		{"run", (*app).versionCommand, []string{looks}},
	}
}

// mark gives a command traits; those below it don't have them.
func mark(cmd *cobra.Command, traits ...string) *cobra.Command {
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	for _, t := range traits {
		cmd.Annotations[t] = ""
	}
	return cmd
}

// has reports whether a command has a trait.
func has(cmd *cobra.Command, trait string) bool {
	_, ok := cmd.Annotations[trait]
	return ok
}
