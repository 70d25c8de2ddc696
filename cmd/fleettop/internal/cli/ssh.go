package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"fleettop/cluster"
	"fleettop/cmd/fleettop/internal/print"
	"fleettop/cmd/fleettop/internal/sshdial"
	"fleettop/cmd/fleettop/internal/unitfiles"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
)

// sshFlags are the flags of `fleettop ssh`.
type sshFlags struct {
	machine, unit, login   string
	forwardAgent, terminal bool
}

func (a *app) sshCommand() *cobra.Command {
	var fl sshFlags
	cmd := &cobra.Command{
		Use:   "ssh [flags] MACHINE|UNIT [COMMAND...]",
		Short: "Open a shell, or run a command, on a machine or where a unit is",
		Long: "Run your own ssh to the address of a machine, named by its name, its ID or the beginning of it,\n" +
			"or to that of the machine that has a unit. With -H the way leads through that host, with its user.\n" +
			"ssh's configuration is yours, and the exit code is the command's. Flags stand before the machine;\n" +
			"what follows it is the command.",
		Example: "  fleettop ssh n3\n  fleettop ssh web@1 uptime\n  fleettop ssh -A --machine n3 journalctl -b",
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case fl.machine != "" && fl.unit != "":
				return errors.New("--machine and --unit name two places: leave out one of them")
			case fl.machine == "" && fl.unit == "":
				return atLeastOne(cmd, args)
			}
			return nil
		},
		RunE:              func(cmd *cobra.Command, args []string) error { return a.ssh(cmd.Context(), &fl, args) },
		ValidArgsFunction: a.completePlaces,
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.StringVarP(&fl.machine, "machine", "m", "", "the machine, by name or ID")
	f.StringVarP(&fl.unit, "unit", "u", "", "the unit whose machine it is")
	f.StringVarP(&fl.login, "login", "l", "", "the user there")
	f.BoolVarP(&fl.forwardAgent, "forward-agent", "A", false, "let the machine use your ssh agent")
	f.BoolVarP(&fl.terminal, "tty", "t", false, "give the command a terminal")
	_ = cmd.RegisterFlagCompletionFunc("machine", a.completeMachines)
	_ = cmd.RegisterFlagCompletionFunc("unit", a.completeUnits)
	return cmd
}

func (a *app) completePlaces(cmd *cobra.Command, args []string, prefix string) (
	[]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault // words of the command
	}
	machines, _ := a.completeMachines(cmd, nil, prefix)
	return append(machines, a.unitWords(cmd, nil, prefix)...), cobra.ShellCompDirectiveNoFileComp
}

func (a *app) ssh(ctx context.Context, fl *sshFlags, args []string) error {
	login := sshdial.Login{User: fl.login, ForwardAgent: fl.forwardAgent, Terminal: fl.terminal, Command: args}
	var err error
	if login.Via, err = a.env.jumpHost(); err != nil {
		return err
	}
	if login.Via != nil {
		login.User = cmp.Or(login.User, login.Via.User)
	}
	if err = a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
		list, err := c.Machines(ctx)
		if err != nil {
			return err
		}
		a.warnStale(list.Store)
		var id string
		switch {
		case fl.machine != "":
			id, err = findMachine(list, fl.machine)
		case fl.unit != "":
			id, err = machineOfUnit(ctx, c, fl.unit)
		default:
			login.Command = args[1:]
			id, err = findPlace(ctx, c, list, args[0])
		}
		if err == nil {
			login.Address, err = a.addressOf(list, id)
		}
		return err
	}); err != nil {
		return err
	}
	code, err := login.Run(ctx, a.in, print.Raw(a.out), print.Raw(a.err))
	if err == nil && code != 0 {
		err = exitError{code, errReported} // what went wrong was said there
	}
	return err
}

// findMachine returns the ID of the machine that a word names, or the API's refusal.
func findMachine(list *api.MachineList, word string) (string, error) {
	machines := make(map[string]cluster.Machine, len(list.Machines))
	for _, m := range list.Machines {
		machines[m.ID] = m.Machine.Machine
	}
	m, refused := api.FindMachine(machines, word)
	if refused != nil {
		return "", refused
	}
	return m.ID, nil
}

// idDigits is how many digits of an ID the tables show. Fewer may be a unit's name.
const idDigits = 8

// findPlace returns the ID of the machine that a word means: one of that name or
// ID, or where a unit of that name is.
func findPlace(ctx context.Context, c *client.Client, list *api.MachineList, word string) (string, error) {
	id, noMachine := findMachine(list, word)
	short := len(strings.TrimRight(word, ".")) < idDigits && !slices.ContainsFunc(list.Machines,
		func(m api.MachineInfo) bool { return m.Name == word })
	if noMachine == nil && !short {
		return id, nil
	}
	at, err := machineOfUnit(ctx, c, word)
	switch {
	case !isNotFound(err):
		return at, err
	case !isNotFound(noMachine):
		return id, noMachine
	}
	return "", api.Refuse(api.CodeNotFound, "`fleettop list-machines` and `fleettop list-units` show those there are",
		"there is no machine %s and no unit %s", word, unitfiles.Name(word))
}

func isNotFound(err error) bool {
	refused, ok := errors.AsType[*api.Error](err)
	return ok && refused.Code == api.CodeNotFound
}

// machineOfUnit returns the ID of the one machine that has a unit, or a refusal.
func machineOfUnit(ctx context.Context, c *client.Client, word string) (string, error) {
	name := unitfiles.Name(word)
	u, err := c.Unit(ctx, name)
	if err != nil {
		return "", err
	}
	refs, ids, names := refsByID(u.Machines), []string(nil), []string(nil)
	for _, p := range u.Placements {
		if p.Assignment != nil {
			ids, names = append(ids, p.Machine), append(names, refs[p.Machine].Name)
		}
	}
	switch len(ids) {
	case 1:
		return ids[0], nil
	case 0:
		return "", api.Refuse(api.CodeConflict, "start it first, or name a machine", "unit %s is on no machine", name)
	}
	return "", api.Refuse(api.CodeConflict, "name one of them", "unit %s is on several machines: %s", name, some(names))
}

// addressOf returns a machine's address, and warns where it may not answer.
func (a *app) addressOf(list *api.MachineList, id string) (string, error) {
	for _, m := range list.Machines {
		switch {
		case m.ID != id:
		case m.Address == "":
			return "", api.Refuse(api.CodeConflict, "start its daemon", "machine %s has no address", m.Name)
		default:
			if m.Health.State != cluster.Up {
				fmt.Fprintf(a.err, "warning: %s is %s.\n", m.Name, m.Health.State)
			}
			return m.Address, nil
		}
	}
	return "", api.MachineNotFound(id)
}
