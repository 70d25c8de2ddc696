package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/unitfiles"
	"fleettop/daemon/api/client"
)

// completionTime is what a person pressing Tab will wait.
const completionTime = 2 * time.Second

// complete asks the daemon for words to complete with; without an answer there are none.
func (a *app) complete(cmd *cobra.Command,
	ask func(context.Context, *client.Client) ([]cobra.Completion, error)) []cobra.Completion {
	c, err := a.env.client()
	if err != nil {
		return nil
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	words, err := ask(ctx, c)
	if err != nil {
		cobra.CompDebugln(err.Error(), false)
		return nil
	}
	return words
}

func (a *app) unitWords(cmd *cobra.Command, taken []string, prefix string) []cobra.Completion {
	return a.complete(cmd, func(ctx context.Context, c *client.Client) ([]cobra.Completion, error) {
		list, err := c.Units(ctx, false, prefix+"*")
		if err != nil {
			return nil, err
		}
		have := map[string]bool{}
		for _, name := range taken {
			have[unitfiles.Name(name)] = true
		}
		var words []cobra.Completion
		for _, u := range list.Units {
			if !have[u.Name] {
				words = append(words, cobra.CompletionWithDesc(u.Name, u.Description))
			}
		}
		return words, nil
	})
}

// completeLogs completes units, and behind the @ that follows a unit's type the machines.
func (a *app) completeLogs(cmd *cobra.Command, args []string, prefix string) (
	[]cobra.Completion, cobra.ShellCompDirective) {
	unit, machine := unitAndMachine(prefix)
	at := strings.LastIndexByte(prefix, '@')
	if at < 0 || prefix[:at] != unit {
		return a.completeUnits(cmd, args, prefix)
	}
	machines, directive := a.completeMachines(cmd, nil, machine)
	words := make([]cobra.Completion, 0, len(machines))
	for _, m := range machines {
		words = append(words, unit+"@"+m)
	}
	return words, directive
}

func (a *app) completeUnits(cmd *cobra.Command, args []string, prefix string) (
	[]cobra.Completion, cobra.ShellCompDirective) {
	return a.unitWords(cmd, args, prefix), cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeUnitsAndFiles(cmd *cobra.Command, args []string, prefix string) (
	[]cobra.Completion, cobra.ShellCompDirective) {
	return a.unitWords(cmd, args, prefix), cobra.ShellCompDirectiveDefault
}

func (a *app) completeMachines(cmd *cobra.Command, _ []string, _ string) (
	[]cobra.Completion, cobra.ShellCompDirective) {
	words := a.complete(cmd, func(ctx context.Context, c *client.Client) ([]cobra.Completion, error) {
		list, err := c.Machines(ctx)
		if err != nil {
			return nil, err
		}
		var words []cobra.Completion
		for _, m := range list.Machines {
			words = append(words, cobra.CompletionWithDesc(m.Name, m.ID+" "+m.Address), cobra.CompletionWithDesc(m.ID, m.Name))
		}
		return words, nil
	})
	return words, cobra.ShellCompDirectiveNoFileComp
}
