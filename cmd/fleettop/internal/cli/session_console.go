package cli

import (
	"context"
	"errors"
	"slices"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
	"github.com/spf13/cobra"

	"fleettop/daemon/api"
	"fleettop/daemon/sshd"
	"fleettop/tui"
	"fleettop/tui/config"
)

// console shows the console on the terminal at the other end.
func (s session) console(cmd *cobra.Command, a *app) error {
	if s.Terminal == nil {
		return usageError{errors.New("without a verb this is the console, which needs a terminal: ssh -t, or give a verb " +
			"such as list-units")}
	}
	c := s.Client()
	defer c.Close()
	env := terminalEnv{"TERM": s.Terminal.Name}
	for k, v := range s.Env {
		env[k] = v
	}
	sizes := make(chan tui.Size)
	ctx, cancel := context.WithCancel(cmd.Context())
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
	settings, _, _ := config.Open("") // the person's own files are elsewhere
	err := tui.Run(ctx, tui.Options{Settings: settings, Client: c, ReadOnly: a.readOnly || s.Role != api.Operator, ToAct: toAct,
		In: s.In, Out: s.Out, Sizes: sizes, Env: env.Getenv, NoColor: a.noColor,
		Renderer: lipgloss.NewRenderer(s.Out, termenv.WithEnvironment(env), termenv.WithUnsafe(),
			termenv.WithColorCache(true))})
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, tui.ErrGone):
		return errReported // the cause was shown on the terminal
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

// terminalEnv is what is known of the terminal at the other end, for termenv.
type terminalEnv map[string]string

// Environ implements termenv.Environ.
func (e terminalEnv) Environ() []string {
	var list []string
	for k, v := range e {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}

// Getenv implements termenv.Environ.
func (e terminalEnv) Getenv(k string) string { return e[k] }
