package cli

import (
	"cmp"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/cmd/fleettop/internal/sshdial"
	"fleettop/cmd/fleettop/internal/unitfiles"
	"fleettop/daemon"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/units"
)

// ownProcess is the environment of a command line on a machine: this process's
// own files, variables and terminal, and the daemon that the flags name.
type ownProcess struct {
	endpoint string
	host     string // ssh://…; instead of endpoint
	cluster  string // a name in the configuration; instead of both

	flags    *pflag.FlagSet // those that were given
	switched bool           // cluster was chosen in the console, which overrides all
	sought   bool           // endpoint and host are the cluster's
	found    string         // the cluster whose they are; empty for none
}

func (p *ownProcess) complete(root *cobra.Command) {
	f := root.PersistentFlags()
	p.flags = f
	f.StringVar(&p.cluster, "cluster", os.Getenv(varCluster),
		"the cluster to talk to, one of [clusters] in ~/.config/fleettop/config.toml (env FLEETTOP_CLUSTER)")
	_ = root.RegisterFlagCompletionFunc("cluster", func(*cobra.Command, []string, string) (
		[]cobra.Completion, cobra.ShellCompDirective) {
		return clusterNames(), cobra.ShellCompDirectiveNoFileComp
	})
	f.StringVar(&p.endpoint, "endpoint", cmp.Or(os.Getenv(varEndpoint), localEndpoint()),
		"the daemon to talk to: unix:///path or http://host:port (env FLEETTOP_ENDPOINT)")
	f.StringVarP(&p.host, "host", "H", os.Getenv(varHost),
		"the machine whose daemon to talk to, by your own ssh: ssh://user@host[:port] (env FLEETTOP_HOST)")
	setUsualDefault(f, "cluster", "")
	setUsualDefault(f, "endpoint", api.DefaultEndpoint+", or that of this user's own daemon")
	setUsualDefault(f, "host", "")
}

func (p *ownProcess) checkArgs([]string) error { return nil }

func (p *ownProcess) checkFile(string) error { return nil }

func (p *ownProcess) getenv(name string) string { return os.Getenv(name) }

func (p *ownProcess) shows(stream io.Writer) bool { return print.IsTerminal(stream) }

func (p *ownProcess) client() (*client.Client, error) {
	if err := p.find(); err != nil {
		return nil, err
	}
	c, err := place{p.endpoint, p.host}.dial()
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

func (p *ownProcess) socket(ctx context.Context) (net.Conn, error) {
	if err := p.find(); err != nil {
		return nil, err
	}
	return client.DialSocket(ctx, p.endpoint)
}

func (p *ownProcess) jumpHost() (*sshdial.Remote, error) {
	if err := p.find(); err != nil {
		return nil, err
	}
	if p.host == "" {
		return nil, nil
	}
	r, err := sshdial.Parse(p.host)
	if err != nil {
		return nil, usageError{err}
	}
	return &r, nil
}

func (p *ownProcess) gather(verb api.Verb, replace bool, args []string) (*unitfiles.Given, error) {
	return unitfiles.Gather(verb, replace, args), nil
}

func (p *ownProcess) unitFile(arg string) (*units.File, error) {
	return unitfiles.Read(cmp.Or(unitfiles.Find(arg), arg))
}

// localEndpoint is that of the daemon which this user runs, if there is one,
// and else the machine's.
func localEndpoint() string {
	own := filepath.Join(daemon.UserRunDir(), "fleettop.sock")
	if info, err := os.Lstat(own); err == nil {
		// Not one that came along in root's environment.
		if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) == os.Geteuid() {
			return "unix://" + own
		}
	}
	return api.DefaultEndpoint
}
