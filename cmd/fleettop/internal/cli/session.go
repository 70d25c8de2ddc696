package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/sshdial"
	"fleettop/cmd/fleettop/internal/unitfiles"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/sshd"
	"fleettop/units"
)

// session is the environment of a command line that came in over the daemon's
// own SSH server. It has none of the process's files, variables and sockets:
// only what the person sent, and the API in the person's role.
type session struct{ *sshd.Session }

// serveSession does what a session was opened for and returns the exit code.
func serveSession(ctx context.Context, s *sshd.Session) int {
	a := &app{env: session{s}, in: s.In, out: s.Out, err: s.Err}
	args := s.Args
	if len(args) > 0 && args[0] == "fleettop" {
		args = args[1:] // as one types it on the machine, and as -H does
	}
	return a.run(ctx, args)
}

// complete puts refusals in the place of verbs about a machine's own files, and
// says of the others that content comes by the standard input.
func (s session) complete(root *cobra.Command) {
	root.Long = "This is a daemon's own SSH server. Without a verb, on a terminal, it shows the console.\n" +
		"A unit's content comes by the standard input: ssh HOST submit web.service <web.service"
	for _, cmd := range root.Commands() {
		if has(cmd, own) {
			root.RemoveCommand(cmd)
			root.AddCommand(elsewhereOnly(cmd.Name()))
		}
		switch cmd.Name() {
		case string(api.Submit):
			cmd.Use, cmd.Short = "submit NAME <FILE", "Make a unit known to the cluster, with what comes by the standard input"
		case string(api.Load), string(api.Start):
			cmd.Use = cmd.Name() + " UNIT|GLOB..."
			cmd.Short = map[string]string{"load": "Give units to machines, without starting them",
				"start": "Start units"}[cmd.Name()]
		case "verify":
			cmd.Use, cmd.Short = "verify NAME <FILE", "Check what comes by the standard input, and whether it is what was "+
				"submitted"
		}
	}
}

// elsewhereOnly returns a command that refuses a verb about a machine's own files.
func elsewhereOnly(verb string) *cobra.Command {
	return &cobra.Command{Use: verb, Hidden: true, DisableFlagParsing: true, RunE: func(*cobra.Command, []string) error {
		return usageError{fmt.Errorf("%s is about a machine's own files and processes: log in to the machine itself for it",
			verb)}
	}}
}

// checkArgs refuses what looks like a file.
func (s session) checkArgs(args []string) error {
	for _, arg := range args {
		if strings.Contains(arg, "/") {
			return fmt.Errorf("%s looks like a file, and files can't be read or written over this connection: "+
				"name units; for a unit's content use the standard input: ssh HOST submit web.service <web.service", arg)
		}
	}
	return nil
}

// checkFile refuses every file: it would be one of the daemon's machine.
func (s session) checkFile(path string) error {
	if path == "-" {
		return nil
	}
	return usageError{errors.New("files can't be read or written over this connection: use the standard streams, as " +
		"ssh HOST backup - >FILE and ssh HOST restore - <FILE")}
}

func (s session) getenv(name string) string { return s.Env[name] }

func (s session) shows(io.Writer) bool { return s.Shown || s.Terminal != nil }

func (s session) client() (*client.Client, error) { return s.Client(), nil }

func (s session) socket(ctx context.Context) (net.Conn, error) { return s.Dial(ctx) }

func (s session) jumpHost() (*sshdial.Remote, error) {
	return nil, usageError{errors.New("ssh runs your own ssh, which is not at this end: " +
		"run it where you are, with `--host ssh://user@host`")}
}

// gather takes all arguments as names, and the content for submit from the
// standard input.
func (s session) gather(verb api.Verb, _ bool, args []string) (*unitfiles.Given, error) {
	if verb != api.Submit {
		return &unitfiles.Given{Names: unitfiles.Names(args)}, nil
	}
	usage := "submit one unit at a time, its content by the standard input: ssh HOST submit web.service <web.service"
	if len(args) != 1 || args[0] == "-" || unitfiles.IsGlob(args[0]) {
		return nil, usageError{errors.New(usage)}
	}
	name := unitfiles.Name(args[0])
	n, err := units.ParseName(name)
	if err != nil {
		return nil, err
	}
	content, err := s.standardInput(name)
	switch {
	case err != nil:
		return nil, err
	case content != "":
		return &unitfiles.Given{Files: []api.File{{Name: name, Content: content}}}, nil
	case n.IsInstance():
		return &unitfiles.Given{Names: []string{name}}, nil // of the template that the cluster has
	}
	return nil, usageError{fmt.Errorf("nothing came for %s: %s", name, usage)}
}

// unitFile reads the content of the one unit that is named.
func (s session) unitFile(name string) (*units.File, error) {
	content, err := s.standardInput(name)
	if err == nil && content == "" {
		err = usageError{fmt.Errorf("nothing came for %s: ssh HOST verify web.service <web.service", name)}
	}
	if err != nil {
		return nil, err
	}
	file, err := units.ParseFile(content)
	if err != nil {
		return nil, unitfiles.InFile(name, err)
	}
	return file, nil
}

// standardInput reads the content of the one unit that is named.
func (s session) standardInput(name string) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(s.In, units.MaxFileSize+1))
	if err != nil {
		return "", fmt.Errorf("read the standard input: %w: try again", err)
	}
	if len(raw) > units.MaxFileSize {
		return "", fmt.Errorf("what came for %s is larger than %d KiB, the most a unit file may be: put data into a file "+
			"of its own", name, units.MaxFileSize>>10)
	}
	return string(raw), nil
}
