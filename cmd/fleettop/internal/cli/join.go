package cli

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/daemon"
	"fleettop/daemon/api/client"
	"fleettop/daemon/keys"
	"fleettop/daemon/trust"
)

func (a *app) joinCommandCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "join-command",
		Short: "Print the line that makes another machine part of the cluster",
		Long: "join-command prints a line to run on one other machine. The token in it is good for that one machine, for\n" +
			"15 minutes; the machine fetches the cluster's key with it, over TLS, from nobody but this cluster.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				t, err := c.JoinToken(ctx)
				if err != nil {
					return err
				}
				if a.json() {
					return print.JSON(a.out, t)
				}
				fmt.Fprintf(a.err, "Run this on the other machine, where fleettop is installed. It is good for one machine, "+
					"until %s:\n", t.Expires.Format(time.TimeOnly))
				line := "fleettop join --start " + t.Token + " " + strings.Join(t.Addresses, " ")
				if !t.User {
					line = "sudo " + line
				}
				fmt.Fprintln(a.out, line)
				return nil
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

func (a *app) joinCommand() *cobra.Command {
	var j daemon.JoinConfig
	var start, yes bool
	usual := usualPlaces()
	cmd := &cobra.Command{
		Use:   "join TOKEN ADDRESS...",
		Short: "Fetch the cluster's key, so that this machine's daemon can join",
		Long: "join is the line that `fleettop join-command` prints on a machine of the cluster. " +
			"A token of - is read from\n" +
			"the standard input. A key of another cluster is replaced only when you say so, and kept beside the new one.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return errNoToken
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			j.Token, j.Addresses = args[0], args[1:]
			in := bufio.NewReader(a.in)
			if j.Token == "-" {
				line, err := in.ReadString('\n')
				if err != nil && line == "" {
					return usageError{errNoToken}
				}
				j.Token = line
			}
			if err := a.mayReplaceKey(cmd.Context(), j, in, yes); err != nil {
				return err
			}
			service := ownService()
			if start {
				// The token is good for one try.
				if err := service.installed(cmd.Context()); err != nil {
					return err
				}
			}
			joined, err := daemon.Join(cmd.Context(), j)
			if err != nil {
				return err
			}
			if start {
				if err := service.start(cmd.Context()); err != nil {
					return err
				}
			}
			if a.json() {
				return print.JSON(a.out, map[string]any{"key": joined.Key, "file": j.KeyFile,
					"replaced": joined.Aside, "started": start})
			}
			if joined.Aside != "" {
				fmt.Fprintf(a.out, "The key that was there is now %s.\n", joined.Aside)
			}
			fmt.Fprintf(a.out, "This machine has the cluster's key %s in %s.\n", joined.Key, j.KeyFile)
			if !start {
				fmt.Fprintf(a.out, "Start its daemon: %s, or fleettop daemon\n", service.command("enable", "--now", "fleettop"))
				return nil
			}
			host, err := os.Hostname()
			if err != nil {
				host = "this machine"
			}
			fmt.Fprintf(a.out, "The daemon runs: `fleettop list-machines` shows %s in a moment.\n", host)
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.StringVar(&j.KeyFile, "key-file", usual.KeyFile, "where to put the key; another one that is there is kept beside it")
	f.StringVar(&j.StateDir, "state-dir", usual.StateDir, "the daemon's directory for what must survive a reboot")
	f.BoolVar(&start, "start", false, "start the daemon as a systemd service, now and at every boot")
	f.BoolVarP(&yes, "yes", "y", false, "replace another cluster's key without asking")
	setUsualDefault(f, "key-file", usualKeyFile)
	setUsualDefault(f, "state-dir", daemon.DefaultStateDir+", or an ordinary user's ~/.local/state/fleettop")
	_ = cmd.MarkFlagDirname("state-dir")
	_ = cmd.MarkFlagFilename("key-file")
	return cmd
}

// mayReplaceKey asks before a key of another cluster is replaced.
func (a *app) mayReplaceKey(ctx context.Context, j daemon.JoinConfig, in *bufio.Reader, yes bool) error {
	had, err := trust.KeyInTheWay(j.Token, j.KeyFile)
	if err != nil || had == "" || yes {
		return err
	}
	what := fmt.Sprintf("%s holds %s", j.KeyFile, had)
	if !print.IsTerminal(a.in) {
		return fmt.Errorf("%s: give --yes to replace it (it is kept beside the new one), or choose another --key-file", what)
	}
	replace, err := a.confirm(ctx, in, what+". Replace it? It is kept beside the new one.")
	if err == nil && !replace {
		err = fmt.Errorf("%s: it was left as it is, and the token is unused", what)
	}
	return err
}

// usualKeyFile is the default of --key-file in the manual.
const usualKeyFile = keys.DefaultFile + ", or an ordinary user's ~/.config/fleettop/key"

// usualPlaces are where a daemon of this user keeps its things.
func usualPlaces() daemon.Places {
	p, err := daemon.PlacesOf(daemon.UsualManager())
	if err != nil { // a user without a home
		p, _ = daemon.PlacesOf(daemon.ManagerSystemd)
	}
	return p
}

// daemonService is the daemon's systemd service.
type daemonService struct{ user bool }

// ownService is that of this user's daemon.
func ownService() daemonService {
	return daemonService{daemon.UsualManager() == daemon.ManagerSystemdUser}
}

func (s daemonService) args(args ...string) []string {
	if s.user {
		return append([]string{"--user"}, args...)
	}
	return args
}

// command is a line of systemctl's for people.
func (s daemonService) command(args ...string) string {
	return "systemctl " + strings.Join(s.args(args...), " ")
}

func (s daemonService) systemctl(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "systemctl", s.args(args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", s.command(args...), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// installed checks that there is a service to start.
func (s daemonService) installed(ctx context.Context) error {
	if err := s.systemctl(ctx, "cat", "fleettop.service"); err != nil {
		where := "fleettop's package, or /etc/systemd/system/fleettop.service (make install does it)"
		if s.user {
			where = "~/.config/systemd/user/fleettop.service, as the README has it"
		}
		return fmt.Errorf("there is no service to start: %w: install %s, or leave out --start and run `fleettop daemon`; "+
			"the token is unused", err, where)
	}
	return nil
}

// start starts the daemon, or restarts one that runs with another key.
func (s daemonService) start(ctx context.Context) error {
	err := s.systemctl(ctx, "enable", "--quiet", "fleettop")
	if err == nil {
		_ = s.systemctl(ctx, "reset-failed", "fleettop") // it needn't have failed
		err = s.systemctl(ctx, "restart", "fleettop")
	}
	if err != nil {
		return fmt.Errorf("the key is here, but the daemon was not started: %w: see `%s`",
			err, s.command("status", "fleettop"))
	}
	return nil
}
