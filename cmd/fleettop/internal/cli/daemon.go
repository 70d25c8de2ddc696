package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"fleettop/cluster"
	"fleettop/cluster/etcdserver"
	"fleettop/cluster/membership"
	"fleettop/cmd/fleettop/internal/print"
	"fleettop/daemon"
	"fleettop/daemon/etcdnode"
	"fleettop/daemon/faultlog"
	"fleettop/daemon/keys"
	"fleettop/daemon/notify"
	"fleettop/daemon/trust"
	"fleettop/units/process"
	"fleettop/units/safefile"
)

// Exit codes of the daemon. After the first two systemd must not start it
// again; the unit file fleettop.service names them.
const (
	exitLeft   = 64 // the machine left the cluster
	exitBarred = 65 // another machine has its identity, or it has another cluster's data
	exitNoKey  = 66 // it has no cluster key; systemd starts it again, as one may come
)

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string { return e.err.Error() }
func (e exitError) Unwrap() error { return e.err }

func (a *app) daemonCommand() *cobra.Command {
	var cfg daemon.Config
	var manager, level string
	var notifyURLs, notifyCommands []string
	cmd := &cobra.Command{
		Use:   "daemon",
		Short: "Run this machine's daemon",
		Long: "daemon makes this machine part of a cluster. The first daemon begins the cluster; the others\n" +
			"join it with --join. Stopping, upgrading or killing a daemon never touches a unit.\n\n" +
			"Started by an ordinary user it runs units by the user's own systemd (systemctl --user), with its files in the\n" +
			"user's directories; verbs of that user then talk to it.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLog(a.err, level)
			if err != nil {
				return usageError{err}
			}
			cfg.Log, cfg.Manager = log, daemon.ManagerKind(manager)
			cfg.Version, _ = a.build.resolve()
			cfg.SSH.Run = serveSession
			hangups := make(chan os.Signal, 1)
			signal.Notify(hangups, syscall.SIGHUP) // which would end it
			defer signal.Stop(hangups)
			cfg.Reload = hangups
			if err = checkGiven(cmd, &cfg); err == nil {
				cfg.Notify, err = notify.Parse(notifyURLs, notifyCommands)
				if err != nil {
					err = usageError{err}
				}
			}
			if err == nil {
				err = runDaemon(cmd.Context(), cfg)
			}
			if err != nil && supervised() {
				err = forJournal{err}
			}
			return err
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.StringSliceVar(&cfg.Join, "join", nil,
		"machines of the cluster to join, as host or host:port; none begins a cluster, or goes on with the one in "+
			"--state-dir")
	f.StringVar(&cfg.Address, "address", "",
		"IP other machines reach this one at, and the daemon listens on (default this machine's main address)")
	f.IntVar(&cfg.Port, "port", daemon.DefaultPort,
		"first of five ports in a row: gossip, probes, etcd clients, etcd peers, the API for other machines")
	f.StringVar(&cfg.Name, "name", "", "name of this machine, for people (default the hostname)")
	f.StringVar(&cfg.MachineID, "machine-id", "",
		"identity of this machine, 32 hexadecimal digits (default /etc/machine-id)")
	f.StringToStringVar(&cfg.Metadata, "metadata", nil, "key=value,… for MachineMetadata= in unit files")
	f.StringVar(&manager, "manager", string(daemon.ManagerAuto),
		"who runs the units: systemd, systemd-user, process, or auto: root's or the user's own systemd, or child "+
			"processes without it")
	f.StringVar(&cfg.StateDir, "state-dir", "",
		"directory for what must survive a reboot (default "+daemon.DefaultStateDir+
			"; an ordinary user's ~/.local/state/fleettop)")
	f.StringVar(&cfg.RunDir, "run-dir", "",
		"directory for what must not (default "+daemon.DefaultRunDir+"; an ordinary user's $XDG_RUNTIME_DIR/fleettop)")
	f.StringVar(&cfg.Socket, "socket", "", "the API's unix socket (default fleettop.sock in --run-dir)")
	f.StringVar(&cfg.FleetSocket, "fleet-socket", "",
		"one more socket, where clients of CoreOS fleet look for its API: /run/fleet.sock (default none)")
	f.StringVar(&cfg.KeyFile, "key-file", "",
		"the cluster's key; without one, the daemon listens on loopback only (default "+keys.DefaultFile+
			"; an ordinary user's ~/.config/fleettop/key)")
	f.StringVar(&cfg.PKI.CertFile, "tls-cert", "",
		"certificate of this machine, for servers and clients, with its --address in it (default: minted from the "+
			"cluster's key)")
	f.StringVar(&cfg.PKI.KeyFile, "tls-key", "", "key of --tls-cert")
	f.StringVar(&cfg.PKI.CAFile, "tls-ca", "",
		"authorities that sign only the machines' certificates: every certificate that they sign is let in")
	f.StringSliceVar(&cfg.EtcdEndpoints, "etcd-endpoints", nil, "use this etcd cluster instead of an embedded one")
	f.StringVar(&cfg.EtcdPrefix, "etcd-prefix", daemon.DefaultEtcdPrefix,
		"where in the etcd of --etcd-endpoints this cluster keeps its things; each cluster there needs its own")
	f.StringVar(&cfg.EtcdTLS.CertFile, "etcd-cert", "", "client certificate for --etcd-endpoints")
	f.StringVar(&cfg.EtcdTLS.KeyFile, "etcd-key", "", "key of --etcd-cert")
	f.StringVar(&cfg.EtcdTLS.CAFile, "etcd-ca", "", "authority that signed the certificates of --etcd-endpoints")
	f.StringVar(&cfg.SSH.Listen, "ssh-listen", "",
		"let people in over SSH, to the console and the verbs: host:port, or :port for --address")
	f.StringVar(&cfg.SSH.AuthorizedKeys, "ssh-authorized-keys", "",
		"file of the public keys that may come in over SSH: to look, or with fleettop-role=\"operator\" before the key "+
			"to act")
	f.StringArrayVar(&notifyURLs, "notify", nil,
		"tell this URL when machines fail and units move, with the leader's daemon: JSON, or what stands before it, as "+
			"ntfy+https://…, slack+https://… or alertmanager+http://…; @FILE has one URL a line; may be repeated")
	f.StringArrayVar(&notifyCommands, "notify-command", nil,
		"run this with the shell for the same, with the notice as JSON on its standard input; may be repeated")
	f.StringVar(&cfg.BackupDir, "backup-dir", "",
		"make backups of the cluster into this directory, on this machine's disk or shared with others (default none)")
	f.DurationVar(&cfg.BackupEvery, "backup-every", daemon.DefaultBackupEvery, "how old the newest one there may get")
	f.IntVar(&cfg.BackupKeep, "backup-keep", daemon.DefaultBackupKeep, "how many of them are kept")
	f.DurationVar(&cfg.DaemonGrace, "daemon-grace", daemon.DefaultDaemonGrace,
		"how long a machine that lives may be without its daemon before its units move")
	f.DurationVar(&cfg.ProbeInterval, "probe-interval", daemon.DefaultProbeInterval,
		"pace of the failure detector: a death is noticed after about five of them")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	for _, dir := range []string{"state-dir", "run-dir", "backup-dir"} {
		_ = cmd.MarkFlagDirname(dir)
	}
	_ = cmd.MarkFlagFilename("ssh-authorized-keys")
	_ = cmd.RegisterFlagCompletionFunc("manager",
		cobra.FixedCompletions([]string{"auto", "systemd", "systemd-user", "process"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("log-level",
		cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// checkGiven refuses flags whose value would count as not given: a cluster of
// its own, or a default, is not what was meant.
func checkGiven(cmd *cobra.Command, cfg *daemon.Config) error {
	given := cmd.Flags()
	empty := slices.ContainsFunc(cfg.Join, func(s string) bool { return strings.TrimSpace(s) == "" })
	switch {
	case given.Changed("join") && (len(cfg.Join) == 0 || empty):
		return usageError{errors.New("--join names no machine: give host or host:port of one of the cluster's; " +
			"leave --join out to begin a cluster")}
	case cfg.Port == 0:
		return usageError{fmt.Errorf("--port 0 is no port: give the first of five in a row, such as %d", daemon.DefaultPort)}
	case cfg.DaemonGrace <= 0:
		return usageError{fmt.Errorf("--daemon-grace %s leaves no time for a daemon to come back: give more, such as %s",
			cfg.DaemonGrace, daemon.DefaultDaemonGrace)}
	case cfg.BackupEvery <= 0 || cfg.BackupKeep <= 0:
		return usageError{errors.New("--backup-every and --backup-keep must be more than 0: leave out --backup-dir for no backups")}
	case cfg.ProbeInterval <= 0:
		return usageError{fmt.Errorf("--probe-interval %s is no interval: give one from 50ms to 5s", cfg.ProbeInterval)}
	}
	for _, flag := range []string{"address", "name", "machine-id", "state-dir", "run-dir", "socket",
		"fleet-socket", "backup-dir", "key-file", "ssh-listen", "ssh-authorized-keys"} {
		if given.Changed(flag) && given.Lookup(flag).Value.String() == "" {
			return usageError{fmt.Errorf("--%s is given and empty: give a value, or leave it out", flag)}
		}
	}
	if given.Changed("etcd-endpoints") && len(cfg.EtcdEndpoints) == 0 {
		return usageError{errors.New("--etcd-endpoints names no endpoint: give at least one, or leave it out to embed etcd")}
	}
	return nil
}

func runDaemon(ctx context.Context, cfg daemon.Config) error {
	process.KeepInherited() // what this daemon inherited is no business of units
	tls := cfg.EtcdTLS
	switch {
	case tls != (keys.Files{}) && len(cfg.EtcdEndpoints) == 0:
		return usageError{errors.New("--etcd-cert, --etcd-key and --etcd-ca go with --etcd-endpoints: give that too, or " +
			"leave them out")}
	case tls != (keys.Files{}) && (tls.CertFile == "" || tls.KeyFile == "" || tls.CAFile == ""):
		return usageError{errors.New("TLS to etcd needs all three of --etcd-cert, --etcd-key and --etcd-ca")}
	}
	for flag, path := range map[string]string{"--etcd-cert": tls.CertFile, "--etcd-key": tls.KeyFile,
		"--etcd-ca": tls.CAFile} {
		if path == "" {
			continue
		}
		f, err := safefile.Open(path) // etcd's client would wait for ever for what is no file
		if err != nil {
			return fmt.Errorf("%s: %w: name a PEM file", flag, err)
		}
		_ = f.Close()
	}
	err := daemon.Run(ctx, cfg)
	duplicate, conflict := (*cluster.DuplicateError)(nil), (*membership.ConflictError)(nil)
	stray, foreign, stranger := (*etcdnode.OtherClusterError)(nil), (*etcdserver.ForeignDataError)(nil),
		(*etcdnode.StoreTakenError)(nil)
	recovered := (*etcdnode.RecoveredError)(nil)
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return nil // told to stop before it was up
	case errors.Is(err, daemon.ErrLeft):
		return exitError{exitLeft, err}
	case errors.As(err, &duplicate), errors.As(err, &conflict), errors.As(err, &stray), errors.As(err, &foreign),
		errors.As(err, &stranger), errors.As(err, &recovered):
		return exitError{exitBarred, err}
	case errors.Is(err, trust.ErrNoKey):
		return exitError{exitNoKey, err}
	}
	return err
}

// newLog logs to a writer; without times where systemd's journal notes them
// itself, and a fault that lasts now and then only.
func newLog(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil || strings.ContainsAny(level, "+-") {
		return nil, fmt.Errorf("unknown --log-level %q: choose debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	if os.Getenv("JOURNAL_STREAM") != "" && !print.IsTerminal(w) {
		opts.ReplaceAttr = func(groups []string, at slog.Attr) slog.Attr {
			if len(groups) == 0 && at.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return at
		}
	}
	return slog.New(faultlog.New(slog.NewTextHandler(w, opts))), nil
}
