package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/cmd/fleettop/internal/sshdial"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/sshd"
	"fleettop/units/wording"
)

// Exit codes.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// errReported ends a command with exit code 1 when all was said already.
var errReported = errors.New("reported")

// usageError is a mistake in the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// app is one run of the command line: what it reads and writes, and the flags all verbs share.
type app struct {
	build    Build
	in       io.Reader
	out, err io.Writer

	visitor *sshd.Session // who came in over SSH; nil for the person at this machine

	streams  bool // JSON is printed a value a line
	endpoint string
	host     string // ssh://…; instead of endpoint
	readOnly bool
	timeout  time.Duration
	noColor  bool
	output   string // text or json
}

// signalled is why a run ended that a signal ended.
type signalled struct{ signal syscall.Signal }

func (s signalled) Error() string { return "ended by " + s.signal.String() }

// code is the exit code that shells know for it.
func (s signalled) code() int { return 128 + int(s.signal) }

// Main runs the process's own command line, and returns the exit code when it
// is done. A signal ends it, and a second one at once.
func Main(b Build) int {
	began := time.Now()
	ctx, stop := untilSignal(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	a := &app{build: b, in: os.Stdin, out: os.Stdout, err: os.Stderr}
	code := a.run(ctx, os.Args[1:])
	if code != 0 {
		paceRestart(ctx, os.Args[1:], code, began)
	}
	return code
}

// run runs the command line and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{in: in, out: out, err: errOut}
	return a.run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) int {
	far := a.visitor != nil && (a.visitor.Shown || a.visitor.Terminal != nil)
	out := print.NewOutput(a.out, print.IsTerminal(a.out) || far, true)
	errOut := print.NewOutput(a.err, print.IsTerminal(a.err) || far, false)
	a.out, a.err = out, errOut
	root := a.root()
	root.SetArgs(append([]string{}, args...)) // never nil, for which cobra takes this process's own
	cmd, err := root.ExecuteContextC(ctx)
	code := a.report(ctx, cmd, err)
	// A program is told of any failure, but not behind an answer that is one already.
	if err != nil && !errors.Is(err, errReported) && wantsJSON(args) && (!out.Wrote() || a.streams) {
		if e := map[string]any{"error": failureOf(err, cmd)}; a.streams {
			_ = print.JSONLine(out, e) // what can't be written is told below
		} else {
			_ = print.JSON(out, e)
		}
	}
	out.Finish()
	errOut.Finish()
	if out.Err() != nil && code == 0 {
		if !errors.Is(out.Err(), syscall.EPIPE) { // who reads it has had enough, and knows
			fmt.Fprintf(a.err, "fleettop: what it printed is lost: %v\n", out.Err())
		}
		return exitFailed
	}
	return code
}

// report tells a person of an error, and returns the exit code.
func (a *app) report(ctx context.Context, cmd *cobra.Command, err error) int {
	var by signalled
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errReported):
		return exitFailed
	case errors.As(err, &by):
		return by.code()
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		if errors.As(context.Cause(ctx), &by) {
			return by.code()
		}
		return exitInterrupted
	}
	fmt.Fprintln(a.err, "fleettop:", err)
	if usage := (usageError{}); errors.As(err, &usage) {
		fmt.Fprintf(a.err, "See `%s --help`.\n", cmd.CommandPath())
		return exitUsage
	}
	if own := (exitError{}); errors.As(err, &own) {
		return own.code
	}
	return exitFailed
}

// looking are the verbs that change nothing anywhere, by their command paths;
// --read-only refuses all others. The console keeps to it by itself.
var looking = []string{"fleettop", "fleettop list-units", "fleettop list-unit-files", "fleettop list-machines",
	"fleettop status", "fleettop cat",
	"fleettop explain", "fleettop journal", "fleettop events", "fleettop verify", "fleettop version",
	"fleettop help", "fleettop key", "fleettop key list", "fleettop completion", "fleettop completion bash",
	"fleettop completion zsh", "fleettop completion fish", "fleettop completion powershell"}

// textual are the verbs whose output has no form in JSON.
var textual = []string{"fleettop", "fleettop help", "fleettop daemon", "fleettop demo", "fleettop " + sshdial.Stdio,
	"fleettop key", "fleettop completion", "fleettop completion bash", "fleettop completion zsh",
	"fleettop completion fish", "fleettop completion powershell"}

// checkFlags checks the flags that all verbs share.
func (a *app) checkFlags(cmd *cobra.Command) error {
	given, path := cmd.Flags(), cmd.CommandPath()
	switch {
	case a.output != "text" && a.output != "json":
		return usageError{fmt.Errorf("unknown output %q: choose text or json", a.output)}
	case a.json() && slices.Contains(textual, path):
		return usageError{fmt.Errorf("%s prints no JSON: leave out --output", path)}
	case a.timeout <= 0:
		return usageError{fmt.Errorf("--request-timeout %s leaves no time for an answer: give more, such as 10s", a.timeout)}
	case given.Changed("endpoint") && given.Changed("host"):
		return usageError{errors.New("--endpoint and --host name two daemons to talk to: leave out one of them")}
	case a.readOnly && !slices.Contains(looking, path):
		return api.Refuse(api.CodeForbidden, "leave out --read-only",
			"%s was not done, as --read-only looks and changes nothing", strings.TrimPrefix(path, "fleettop "))
	}
	return nil
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "fleettop",
		Short: "A cluster-wide init system with a face",
		Long: "fleettop runs systemd units on a cluster of machines and keeps them running when a machine dies.\n" +
			"Start a daemon on each machine (`fleettop daemon`), or try it all here (`fleettop demo`).",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{unknownVerb(cmd, args[0])}
			}
			return nil
		},
		RunE:              func(cmd *cobra.Command, _ []string) error { return a.console(cmd) },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.checkFlags(cmd) },
	}
	ver, _ := a.build.resolve()
	root.Version = ver
	root.SetVersionTemplate("fleettop version {{.Version}}\n")
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	f := root.PersistentFlags()
	if a.visitor == nil {
		f.StringVar(&a.endpoint, "endpoint", cmp.Or(os.Getenv("FLEETTOP_ENDPOINT"), localEndpoint()), "the daemon to talk to: unix:///path or http://host:port (env FLEETTOP_ENDPOINT)")
		f.StringVarP(&a.host, "host", "H", os.Getenv("FLEETTOP_HOST"), "the machine whose daemon to talk to, by your own ssh: ssh://user@host[:port] (env FLEETTOP_HOST)")
	}
	f.DurationVar(&a.timeout, "request-timeout", 10*time.Second, "how long the daemon may take to answer, or say nothing while it is at work")
	f.BoolVar(&a.readOnly, "read-only", false, "look and change nothing: refuses verbs that act, "+
		"and hides what acts in the console")
	f.BoolVar(&a.noColor, "no-color", a.visitor == nil && os.Getenv("NO_COLOR") != "", "never use colours (env NO_COLOR)")
	f.StringVarP(&a.output, "output", "o", "text", "text or json")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))

	root.AddGroup(&cobra.Group{ID: "units", Title: "Units:"}, &cobra.Group{ID: "look", Title: "Looking:"},
		&cobra.Group{ID: "machines", Title: "Machines:"}, &cobra.Group{ID: "run", Title: "Running it:"})
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("units", a.actionCommands()...)
	add("units", a.verifyCommand())
	add("look", a.listUnitsCommand(), a.listUnitFilesCommand(), a.statusCommand(), a.catCommand(), a.explainCommand(), a.journalCommand(), a.eventsCommand())
	add("machines", a.listMachinesCommand(), a.scheduleCommand("cordon"), a.scheduleCommand("drain"), a.scheduleCommand("uncordon"),
		a.forgetCommand(), a.leaveCommand(), a.joinCommandCommand())
	add("run", a.dialStdioCommand(), a.versionCommand())
	if a.visitor != nil {
		forVisitors(root)
	} else {
		add("machines", a.joinCommand())
		add("run", a.daemonCommand(), a.keyCommand(), a.demoCommand())
	}
	root.SetHelpCommandGroupID("run")
	root.SetCompletionCommandGroupID("run")
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.SuggestionsMinimumDistance = 2
	for _, c := range root.Commands() {
		switch {
		case c.Name() == "help":
			c.Args = func(c *cobra.Command, args []string) error {
				if err := a.checkFlags(c); err != nil { // a help command has no run before its own
					return err
				}
				return knownTopic(c, args)
			}
		case c.Name() == "completion" && a.visitor == nil:
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() } // with one its Args are checked
			c.Args = noArgs
		}
	}
	a.wrapArgs(root)
	return root
}

// localEndpoint is that of the daemon which this user runs, if there is one,
// and else the machine's.
func localEndpoint() string {
	own := filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "fleettop/fleettop.sock")
	if info, err := os.Lstat(own); filepath.IsAbs(own) && err == nil {
		// Not one that came along in root's environment.
		if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) == os.Geteuid() {
			return "unix://" + own
		}
	}
	return api.DefaultEndpoint
}

// wrapArgs makes wrong arguments of any verb a usage error.
func (a *app) wrapArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			if err == nil && a.visitor != nil {
				err = visitorsArgs(args)
			}
			if err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		a.wrapArgs(sub)
	}
}

// knownTopic refuses to help with what isn't there.
func knownTopic(cmd *cobra.Command, args []string) error {
	at := cmd.Root()
	for _, word := range args {
		i := slices.IndexFunc(at.Commands(), func(c *cobra.Command) bool { return c.Name() == word || c.HasAlias(word) })
		if i < 0 {
			return unknownVerb(at, word)
		}
		at = at.Commands()[i]
	}
	return nil
}

func unknownVerb(root *cobra.Command, word string) error {
	msg := fmt.Sprintf("unknown verb %q", word)
	if near := root.SuggestionsFor(word); len(near) > 0 {
		msg += ": did you mean " + strings.Join(near, " or ") + "?"
	}
	return errors.New(msg)
}

// dial returns a client; the caller closes it.
func (a *app) dial() (*client.Client, error) {
	if a.visitor != nil {
		return a.visitor.Client(), nil
	}
	dial, to := client.Dial, a.endpoint
	if a.host != "" {
		dial, to = sshdial.Dial, a.host
	}
	c, err := dial(to)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// withClient calls f with a client and a context that ends with the request timeout.
func (a *app) withClient(ctx context.Context, f func(context.Context, *client.Client) error) error {
	c, err := a.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return f(ctx, c)
}

// warnHeld tells when units are left on machines that failed.
func (a *app) warnHeld(hold string) {
	if hold != "" {
		fmt.Fprintf(a.err, "warning: failovers are held: %s.\n", hold)
	}
}

// warnStale tells when what was answered is not current.
func (a *app) warnStale(st api.Store) {
	if !st.Connected {
		fmt.Fprintf(a.err, "warning: the cluster's store can't be reached; this is how it was %s ago. Units keep running.\n", wording.Age(time.Since(st.Since)))
	}
}

func (a *app) json() bool { return a.output == "json" }

// coloured reports whether what is written may have colours.
func (a *app) coloured(w io.Writer) bool {
	return !a.noColor && os.Getenv("TERM") != "dumb" && print.IsTerminal(w)
}
