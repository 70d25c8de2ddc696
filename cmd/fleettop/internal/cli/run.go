package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
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
	env      environment
	build    Build
	in       io.Reader
	out, err io.Writer

	streams  bool // JSON is printed a value a line
	readOnly bool
	timeout  time.Duration
	noColor  bool
	output   string // text or json
}

// Main runs the process's own command line, and returns the exit code when it
// is done. A signal ends it, and a second one at once.
func Main(b Build) int {
	began := time.Now()
	ctx, stop := untilSignal(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	a := &app{env: &ownProcess{}, build: b, in: os.Stdin, out: os.Stdout, err: os.Stderr}
	code := a.run(ctx, os.Args[1:])
	if code != 0 {
		paceRestart(ctx, os.Args[1:], code, began)
	}
	return code
}

// Run runs a command line in this process, and returns its exit code.
func Run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{env: &ownProcess{}, in: in, out: out, err: errOut}
	return a.run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) int {
	out := print.NewOutput(a.out, a.env.shows(a.out), true)
	errOut := print.NewOutput(a.err, a.env.shows(a.err), false)
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
		if own, ok := errors.AsType[exitError](err); ok {
			return own.code
		}
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
