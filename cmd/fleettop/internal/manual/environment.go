package manual

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/cli"
)

// Example is the example of an environment file that packages bring.
//
//go:embed fleettop.env
var Example []byte

// environmentFile is the page of the file with the daemon's options.
func (m *manual) environmentFile() *page {
	p := m.page("fleettop.env", 5, "the options of a machine's fleettop daemon")
	p.head("SYNOPSIS")
	p.prose("`/etc/fleettop/fleettop.env`")
	p.head("DESCRIPTION")
	p.text("The daemon's service reads this file as an EnvironmentFile= of systemd's, see `systemd.exec`(5): a variable " +
		"a line, and comments behind `#`. A machine without the file runs with the defaults; `fleettop join` needs no line " +
		"in it, either. A change is in use after `systemctl restart fleettop`, which leaves the units alone.")
	p.head("VARIABLES")
	p.variables(cli.DaemonVariables())
	p.head("OPTIONS")
	p.prose("These may stand in `FLEETTOP_OPTIONS`.")
	daemon := m.root.Commands()[slices.IndexFunc(m.root.Commands(),
		func(c *cobra.Command) bool { return c.Name() == "daemon" })]
	p.options(daemon.LocalNonPersistentFlags())
	p.head("EXAMPLE")
	p.example(strings.Split(strings.TrimSuffix(string(Example), "\n"), "\n")...)
	p.seeAlso(programPage, daemonPage, reference{"systemd.exec", "5"}, reference{"systemd.service", "5"})
	return p
}
