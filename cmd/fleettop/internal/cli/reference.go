package cli

import (
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Reference returns the whole command line as the manual pages describe it; it
// is not to be run.
func Reference(b Build) *cobra.Command {
	a := &app{env: &ownProcess{}, build: b, out: io.Discard, err: io.Discard}
	return a.root()
}

// usualDefault is the annotation of a flag whose default depends on who runs the
// command, or on the environment.
const usualDefault = "usualDefault"

// setUsualDefault says which default of a flag the manual names.
func setUsualDefault(f *pflag.FlagSet, name, text string) {
	_ = f.SetAnnotation(name, usualDefault, []string{text}) // the flag was made by the caller
}

// DefaultOf returns the default of a flag that the manual names; empty for none.
func DefaultOf(f *pflag.Flag) string {
	if texts, ok := f.Annotations[usualDefault]; ok {
		return texts[0]
	}
	switch f.DefValue {
	case "", "0", "false", "[]", "0s":
		return ""
	}
	return f.DefValue
}

// Environment variables of the command line's own.
const (
	varCluster  = "FLEETTOP_CLUSTER"
	varEndpoint = "FLEETTOP_ENDPOINT"
	varHost     = "FLEETTOP_HOST"
	varNoColor  = "NO_COLOR"
	varTerm     = "TERM"
	varVisual   = "VISUAL"
	varEditor   = "EDITOR"
	varState    = "XDG_STATE_HOME"
	varRuntime  = "XDG_RUNTIME_DIR"
)

// Variable is an environment variable that fleettop reads.
type Variable struct {
	Name string
	Doc  string // what it does, in sentences; words between backquotes are literal
}

// Variables returns the environment variables that the command line reads, in
// the order of the manual.
func Variables() []Variable {
	return []Variable{
		{varCluster, "The cluster to talk to, one of `[clusters]` in the configuration; as `--cluster`."},
		{varEndpoint, "The daemon to talk to: `unix:///path` or `http://host:port`; as `--endpoint`."},
		{varHost, "The machine whose daemon to talk to, by your own ssh: `ssh://user@host[:port]`; as `--host`."},
		{varNoColor, "With any value: no colours; as `--no-color`."},
		{varTerm, "With the value `dumb`: no colours, and no line that shows progress."},
		{varVisual, "The editor that the console opens for a unit's file."},
		{varEditor, "The same, where `VISUAL` is not set."},
		{varState, "Where the console keeps its history, and an ordinary user's daemon its state, each in `fleettop` there. " +
			"The default is `~/.local/state`."},
		{varRuntime, "Where an ordinary user's daemon has its sockets and unit files, in `fleettop` there."},
	}
}

// DaemonVariables returns those that the daemon's service reads from
// /etc/fleettop/fleettop.env, in the order of the manual.
func DaemonVariables() []Variable {
	return []Variable{
		{"FLEETTOP_OPTIONS", "Options of `fleettop daemon`, divided by blanks. A value with blanks in it can't be given here: " +
			"write a drop-in with an ExecStart= of its own (`systemctl edit fleettop`)."},
		{"GOMAXPROCS", "How many processors the daemon uses at a time. The service says 1, which is enough for most clusters; " +
			"the leader of a very large one may want more."},
		{"GOMEMLIMIT", "A size such as 256MiB, above which the daemon collects its garbage more often. Not set by default."},
	}
}
