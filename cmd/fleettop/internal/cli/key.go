package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/cmd/fleettop/internal/wait"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/keys"
	"fleettop/units/retry"
	"fleettop/units/wording"
)

func (a *app) keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make, list and rotate the cluster's key",
		Long: "The cluster's key is its one secret: it encrypts gossip, and signs the certificates that the daemons\n" +
			"mint for themselves. Every machine of the cluster has it, in a file only root can read.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.keyGenerateCommand(), mark(a.keyListCommand(), looks), a.keyRotateCommand())
	return cmd
}

func (a *app) keyGenerateCommand() *cobra.Command {
	path := usualPlaces().KeyFile
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Make a key for a new cluster",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			ring := keys.NewRing(keys.Generate())
			if err := ring.Create(path); err != nil {
				return err
			}
			if a.json() {
				return print.JSON(a.out, map[string]string{"file": path, "key": ring.Primary().ID()})
			}
			fmt.Fprintf(a.out, "Made key %s in %s.\n"+
				"Start the first daemon here (%s); then `fleettop join-command` prints the line that adds another machine.\n",
				ring.Primary().ID(), path, ownService().command("enable", "--now", "fleettop"))
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&path, "key-file", path, "where to put it")
	setUsualDefault(cmd.Flags(), "key-file", usualKeyFile)
	return cmd
}

func (a *app) keyListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Show the cluster's keys by their IDs, and how far a rotation has come",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				list, err := c.Keys(ctx)
				if err != nil {
					return err
				}
				return a.printKeys(list)
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

func (a *app) keyRotateCommand() *cobra.Command {
	var finish, noWait bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Give the cluster another key, without stopping anything",
		Long: "rotate makes a new key and gives it to all machines. When every machine that runs has it, it is used; the\n" +
			"old one is accepted until every machine uses the new one, for a day at most, or until you say --finish.\n" +
			"A machine that was off all that time comes back with the line that `fleettop join-command` prints.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				do := c.RotateKey
				if finish {
					do = c.FinishRotation
				}
				list, err := do(ctx)
				if err != nil {
					return err
				}
				if noWait || a.json() {
					return a.printKeys(list)
				}
				fmt.Fprintln(a.out, list.Text)
				return a.followRotation(cmd.Context(), c)
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVar(&finish, "finish", false, "drop the old key now, without the machines that are off")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "don't wait until the new key is used everywhere")
	return cmd
}

// followRotation prints how a rotation goes on, until it waits only for machines that are off.
func (a *app) followRotation(ctx context.Context, c *client.Client) error {
	said := ""
	failing := time.Time{}
	for {
		list, err := a.keysNow(ctx, c)
		if err != nil {
			// A daemon may be away for a moment while the store restarts.
			if failing.IsZero() {
				failing = time.Now()
			}
			if time.Since(failing) > a.timeout || ctx.Err() != nil {
				return err
			}
		} else {
			failing = time.Time{}
			live, off := waitedFor(list)
			say := ""
			switch {
			case len(live) > 0:
				say = cmp.Or(list.Phase, "dropping the old key") + ": waiting for " + strings.Join(live, ", ")
			case list.Phase == "":
				fmt.Fprintf(a.out, "done: key %s is the only one\n", list.Keys[0].ID)
				a.sayRejoin(off)
				return nil
			case len(off) > 0 && list.Phase == string(keys.Retiring):
				fmt.Fprintf(a.out, "key %s is used. The old one is accepted for machines that are off: %s.\n"+
					"It is dropped when they are back, or a day after the rotation began, or with `fleettop key rotate --finish`.\n",
					list.Keys[0].ID, strings.Join(off, ", "))
				return nil
			}
			if say != "" && say != said {
				fmt.Fprintln(a.out, say)
				said = say
			}
		}
		if !retry.Pause(ctx, wait.AskAgain) {
			return ctx.Err()
		}
	}
}

func (a *app) keysNow(ctx context.Context, c *client.Client) (*api.KeyList, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return c.Keys(ctx)
}

// waitedFor splits who is waited for into machines that run and those that don't.
func waitedFor(list *api.KeyList) (live, off []string) {
	waiting := map[string]bool{}
	for _, name := range list.Waiting {
		waiting[name] = true
	}
	for _, m := range list.Machines {
		switch {
		case !waiting[m.Name]:
		case m.Live:
			live = append(live, m.Name)
		default:
			off = append(off, m.Name)
		}
	}
	return live, off
}

// keyRows is a KeyList for programs: a machine's name is called as everywhere.
type keyRows struct {
	*api.KeyList
	Machines []keyHolder `json:"machines"`
}

type keyHolder struct {
	api.KeyHolder
	MachineName string    `json:"machineName"`
	Name        *struct{} `json:"name,omitempty"` // hides the holder's
}

func newKeyRows(list *api.KeyList) keyRows {
	out := keyRows{list, make([]keyHolder, 0, len(list.Machines))}
	for _, m := range list.Machines {
		out.Machines = append(out.Machines, keyHolder{KeyHolder: m, MachineName: m.Name})
	}
	return out
}

func (a *app) printKeys(list *api.KeyList) error {
	if a.json() {
		return print.JSON(a.out, newKeyRows(list))
	}
	if list.Text != "" {
		fmt.Fprintln(a.out, list.Text)
	}
	for _, k := range list.Keys {
		use := "accepted"
		if k.Primary {
			use = "used"
		}
		if k.Newest && len(list.Keys) > 1 {
			use += ", new"
		}
		var have []string
		for _, m := range list.Machines {
			for _, id := range m.Keys {
				if id == k.ID {
					have = append(have, m.Name)
				}
			}
		}
		fmt.Fprintf(a.out, "%s  %-13s  %s\n", k.ID, use, strings.Join(have, " "))
	}
	live, off := waitedFor(list)
	if list.Phase == "" {
		a.sayRejoin(off)
	} else {
		fmt.Fprintf(a.out, "rotating since %s ago", wording.Age(time.Since(list.Since)))
		if len(live) > 0 {
			fmt.Fprintf(a.out, "; waiting for %s", strings.Join(live, ", "))
		}
		if len(off) > 0 {
			fmt.Fprintf(a.out, "; off: %s", strings.Join(off, ", "))
		}
		fmt.Fprintln(a.out)
	}
	return nil
}

// sayRejoin tells of machines that slept through a rotation.
func (a *app) sayRejoin(off []string) {
	if len(off) > 0 {
		fmt.Fprintf(a.out, "These machines don't have it and need the line of `fleettop join-command`, once for each: %s\n",
			strings.Join(off, ", "))
	}
}

var errNoToken = errors.New("a token is needed: " +
	"run the whole line that `fleettop join-command` prints on a machine of the cluster")
