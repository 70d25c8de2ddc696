package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/unitfiles"
	"fleettop/daemon/api"
	"fleettop/daemon/sshd"
	"fleettop/tui"
	"fleettop/units"
)

// A visitor came in over the daemon's own SSH server. The command line is
// theirs; the files, the environment and the sockets of this process are not,
// so a visitor's command line has no verb and no flag that leads to them.

// serveVisitor does what a visitor came for and returns the exit code.
func serveVisitor(ctx context.Context, s *sshd.Session) int {
	a := &app{in: s.In, out: s.Out, err: s.Err, visitor: s}
	args := s.Args
	if len(args) > 0 && args[0] == "fleettop" {
		args = args[1:] // as one types it on the machine, and as -H does
	}
	return a.run(ctx, args)
}

// ownVerbs are the verbs about a machine's own files and processes.
var ownVerbs = []string{"daemon", "demo", "join", "key", "completion"}

// forVisitors makes a command line without them say what it is for.
func forVisitors(root *cobra.Command) {
	root.Long = "This is a daemon's own SSH server. Without a verb, on a terminal, it shows the console.\n" +
		"A unit's content comes by the standard input: ssh HOST submit web.service <web.service"
	for _, verb := range ownVerbs {
		root.AddCommand(&cobra.Command{Use: verb, Hidden: true, DisableFlagParsing: true, RunE: func(*cobra.Command, []string) error {
			return usageError{fmt.Errorf("%s is about a machine's own files and processes: log in to the machine itself for it", verb)}
		}})
	}
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case string(api.Submit):
			cmd.Use, cmd.Short = "submit NAME <FILE", "Make a unit known to the cluster, with what comes by the standard input"
		case string(api.Load), string(api.Start):
			cmd.Use = cmd.Name() + " UNIT|GLOB..."
			cmd.Short = map[string]string{"load": "Give units to machines, without starting them", "start": "Start units"}[cmd.Name()]
		case "verify":
			cmd.Use, cmd.Short = "verify NAME <FILE", "Check what comes by the standard input, and whether it is what was submitted"
		}
	}
}

// visitorsArgs refuses what looks like a file for any verb.
func visitorsArgs(args []string) error {
	for _, arg := range args {
		if strings.Contains(arg, "/") {
			return fmt.Errorf("%s looks like a file, and files can't be read or written over this connection: "+
				"name units; for a unit's content use the standard input: ssh HOST submit web.service <web.service", arg)
		}
	}
	return nil
}

// visitorConsole shows the console on a visitor's terminal.
func (a *app) visitorConsole(ctx context.Context) error {
	s := a.visitor
	if s.Terminal == nil {
		return usageError{errors.New("without a verb this is the console, which needs a terminal: ssh -t, or give a verb such as list-units")}
	}
	c := s.Client()
	defer c.Close()
	name := s.Terminal.Name
	env := visitorsEnv{"TERM": name}
	for k, v := range s.Env {
		env[k] = v
	}
	sizes := make(chan tui.Size)
	ctx, cancel := context.WithCancel(ctx)
	passed := make(chan struct{})
	defer func() { cancel(); <-passed }()
	go func() {
		defer close(passed)
		passSizes(ctx, s.Terminal.Sizes, sizes)
	}()
	toAct := ""
	if s.Role != api.Operator {
		toAct = "ask an operator for fleettop-role=\"operator\" before your key"
	}
	err := tui.Run(ctx, tui.Options{Client: c, ReadOnly: a.readOnly || s.Role != api.Operator, ToAct: toAct, In: s.In, Out: s.Out, Sizes: sizes, Env: env.Getenv,
		Renderer: lipgloss.NewRenderer(s.Out, termenv.WithEnvironment(env), termenv.WithUnsafe(), termenv.WithColorCache(true)),
		NoColor:  a.noColor || env["NO_COLOR"] != ""})
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, tui.ErrGone):
		return errReported // whoever ended it says why
	case errors.Is(err, tui.ErrDumb):
		return usageError{err}
	}
	return err
}

func passSizes(ctx context.Context, from <-chan sshd.Size, to chan<- tui.Size) {
	for {
		select {
		case <-ctx.Done():
			return
		case size := <-from:
			select {
			case to <- tui.Size(size):
			case <-ctx.Done():
				return
			}
		}
	}
}

// visitorsEnv is what is known of a visitor's terminal, for termenv.
type visitorsEnv map[string]string

// Environ implements termenv.Environ.
func (e visitorsEnv) Environ() []string {
	var list []string
	for k, v := range e {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}

// Getenv implements termenv.Environ.
func (e visitorsEnv) Getenv(k string) string { return e[k] }

// standardInput reads the content of the one unit that a visitor names.
func (a *app) standardInput(name string) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(a.in, units.MaxFileSize+1))
	if err != nil {
		return "", fmt.Errorf("read the standard input: %w: try again", err)
	}
	if len(raw) > units.MaxFileSize {
		return "", fmt.Errorf("what came for %s is larger than %d KiB, the most a unit file may be: put data into a file of its own", name, units.MaxFileSize>>10)
	}
	return string(raw), nil
}

// visitorsFiles sorts a visitor's arguments of submit, load and start: all are
// names, and the content for submit comes by the standard input.
func (a *app) visitorsFiles(verb api.Verb, args []string) (files []api.File, names []string, err error) {
	if verb != api.Submit {
		return nil, unitfiles.Names(args), nil
	}
	usage := "submit one unit at a time, its content by the standard input: ssh HOST submit web.service <web.service"
	if len(args) != 1 || args[0] == "-" || unitfiles.IsGlob(args[0]) {
		return nil, nil, usageError{errors.New(usage)}
	}
	name := unitfiles.Name(args[0])
	n, err := units.ParseName(name)
	if err != nil {
		return nil, nil, err
	}
	content, err := a.standardInput(name)
	switch {
	case err != nil:
		return nil, nil, err
	case content != "":
		return []api.File{{Name: name, Content: content}}, nil, nil
	case n.IsInstance():
		return nil, []string{name}, nil // of the template that the cluster has
	}
	return nil, nil, usageError{fmt.Errorf("nothing came for %s: %s", name, usage)}
}

// visitorsSocket connects the standard input and output to the API, for
// fleettop -H ssh://… of another machine.
func (a *app) visitorsSocket(cmd *cobra.Command) error {
	conn, err := a.visitor.Dial(cmd.Context())
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(cmd.Context(), func() { conn.Close() })
	defer stop()
	return bridge(conn, a.in, a.raw())
}
