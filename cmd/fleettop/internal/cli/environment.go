package cli

import (
	"context"
	"io"
	"net"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/sshdial"
	"fleettop/cmd/fleettop/internal/unitfiles"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/units"
)

// environment is where a run of the command line takes place, and what it may
// use there. A verb asks it for what it needs; where there is no such thing,
// the error says what to do instead.
type environment interface {
	// complete gives the command line the flags and texts that only this environment has.
	complete(root *cobra.Command)
	// checkArgs refuses arguments that no verb can use here.
	checkArgs(args []string) error
	// checkFile refuses a file that is to be read or written here; - is the standard input or output.
	checkFile(path string) error
	// getenv returns an environment variable of the person's.
	getenv(name string) string
	// shows reports whether a terminal shows what is written to one of the run's streams.
	shows(stream io.Writer) bool
	// client returns a client of the daemon to talk to. The caller closes it.
	client() (*client.Client, error)
	// socket connects to that daemon's API.
	socket(ctx context.Context) (net.Conn, error)
	// jumpHost returns the host through which the person's ssh reaches the
	// cluster's machines; nil for a direct way.
	jumpHost() (*sshdial.Remote, error)
	// gather sorts the arguments of submit, load and start into files and names.
	gather(verb api.Verb, replace bool, args []string) (*unitfiles.Given, error)
	// unitFile reads the unit file that an argument names.
	unitFile(arg string) (*units.File, error)
	// console shows the console until the person leaves it.
	console(cmd *cobra.Command, a *app) error
}
