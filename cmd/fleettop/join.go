package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleettop/daemon"
	"fleettop/daemon/api"
	"fleettop/daemon/keys"
)

func (a *app) joinCommandCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "join-command",
		Short: "Print the line that makes another machine part of the cluster",
		Long: "join-command prints a line to run on one other machine. The token in it is good for that one machine, for\n" +
			"15 minutes; the machine fetches the cluster's key with it, over TLS, from nobody but this cluster.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(ctx context.Context, c *api.Client) error {
				t, err := c.JoinToken(ctx)
				if err != nil {
					return err
				}
				if a.json() {
					return writeJSON(a.out, t)
				}
				fmt.Fprintf(a.err, "Run this on the other machine, where fleettop is installed. It is good for one machine, until %s:\n", t.Expires.Format(time.TimeOnly))
				fmt.Fprintf(a.out, "sudo fleettop join --start %s %s\n", t.Token, strings.Join(t.Addresses, " "))
				return nil
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

func (a *app) joinCommand() *cobra.Command {
	var j daemon.Joining
	var start bool
	cmd := &cobra.Command{
		Use:   "join TOKEN ADDRESS...",
		Short: "Fetch the cluster's key, so that this machine's daemon can join",
		Long: "join is the line that `fleettop join-command` prints on a machine of the cluster. A token of - is read from\n" +
			"the standard input.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return errNoToken
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			j.Token, j.Addresses = args[0], args[1:]
			if j.Token == "-" {
				line, err := bufio.NewReader(a.in).ReadString('\n')
				if err != nil && line == "" {
					return usageError{errNoToken}
				}
				j.Token = line
			}
			id, err := daemon.FetchKey(cmd.Context(), j)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.out, "This machine has the cluster's key %s in %s.\n", id, j.KeyFile)
			if !start {
				fmt.Fprintln(a.out, "Start its daemon: systemctl enable --now fleettop, or fleettop daemon")
				return nil
			}
			return a.startService(cmd.Context())
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.StringVar(&j.KeyFile, "key-file", keys.DefaultFile, "where to put the key; what is there is replaced")
	f.StringVar(&j.StateDir, "state-dir", daemon.DefaultStateDir, "the daemon's directory for what must survive a reboot")
	f.BoolVar(&start, "start", false, "start the daemon as a systemd service, now and at every boot")
	_ = cmd.MarkFlagDirname("state-dir")
	_ = cmd.MarkFlagFilename("key-file")
	return cmd
}

// startService starts the daemon, or restarts one that runs with another key.
func (a *app) startService(ctx context.Context) error {
	for _, args := range [][]string{{"enable", "fleettop"}, {"reset-failed", "fleettop"}, {"restart", "fleettop"}} {
		cmd := exec.CommandContext(ctx, "systemctl", args...)
		out, err := cmd.CombinedOutput()
		if err != nil && args[0] != "reset-failed" {
			return fmt.Errorf("the key is here, but systemctl %s failed: %w: %s: see that fleettop.service is installed, then start it, or run `fleettop daemon`",
				strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	fmt.Fprintf(a.out, "The daemon runs: `fleettop list-machines` shows %s in a moment.\n", host)
	return nil
}
