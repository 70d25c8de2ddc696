package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"syscall"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/keys"
	"fleettop/daemon/peers"
	"fleettop/tui"
	"fleettop/tui/config"
	"fleettop/tui/history"
)

// console shows the console on this terminal.
func (p *ownProcess) console(cmd *cobra.Command, a *app) error {
	if !print.IsTerminal(a.out) || !print.IsTerminal(a.in) {
		cmd.SetOut(a.err)
		if err := cmd.Help(); err != nil {
			return err
		}
		fmt.Fprintln(a.err)
		return usageError{errors.New("without a verb fleettop opens its console, which needs a terminal: " +
			"give a verb, such as list-units, or run it on a terminal")}
	}
	for {
		warning, err := p.findForConsole()
		if err != nil {
			return err
		}
		err = p.openConsole(cmd.Context(), a, warning)
		if to := (*tui.SwitchError)(nil); errors.As(err, &to) {
			p.cluster, p.switched = to.Cluster, true
			continue
		}
		return err
	}
}

// openConsole shows the console of one cluster.
func (p *ownProcess) openConsole(ctx context.Context, a *app, warning string) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	o := tui.Options{Client: c, Other: p.otherDaemon, ReadOnly: a.readOnly, Cluster: p.found, Clusters: clusterNames,
		Shell: p.shellOn}
	if warning != "" {
		o.Warnings = []string{warning}
	}
	return a.show(ctx, o)
}

// show runs the console on this terminal. The console itself handles the
// signals that end ctx: an interrupt while an editor runs is the editor's.
func (a *app) show(ctx context.Context, o tui.Options) error {
	path, err := config.Path()
	if err != nil {
		o.Warnings = append(o.Warnings, err.Error())
	}
	var faults []string
	o.Settings, o.Config, faults = config.Open(path)
	o.Warnings = append(o.Warnings, faults...)
	if o.History, err = history.Path(); err != nil {
		o.Warnings = append(o.Warnings, err.Error())
	}
	o.In, o.Out, o.NoColor = a.in, print.Raw(a.out), a.noColor
	err = tui.Run(context.WithoutCancel(ctx), o)
	var sig *tui.SignalError
	switch {
	case errors.As(err, &sig):
		return signalled{sig.Signal}
	case errors.Is(err, tui.ErrGone): // the hang-up itself may come later, or not at all
		return signalled{syscall.SIGHUP}
	case errors.Is(err, tui.ErrDumb):
		return usageError{err}
	}
	return err
}

// otherDaemon reaches another machine's daemon while the one of --endpoint is
// away: the way that one is reached, or with the cluster's key where the
// endpoint is this machine's own socket and the user may read the key.
func (p *ownProcess) otherDaemon(m api.Machine) (tui.Client, error) {
	u, err := url.Parse(p.endpoint)
	switch {
	case err != nil:
		return nil, err
	case p.host != "" && p.endpoint == "":
		return nil, fmt.Errorf("only %s is reached by ssh", p.host)
	case m.APIAddress == "":
		return nil, fmt.Errorf("machine %s has no address for its API", m.Name)
	case u.Scheme == "unix":
		c, err := keyedClient(keys.DefaultFile, m)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	u.Host = m.APIAddress
	return client.Dial(u.String())
}

// keyedClient returns a client of a machine's API that proves itself with the
// cluster's key, as the machines do among themselves. It may look and not act.
func keyedClient(keyFile string, m api.Machine) (*peerClient, error) {
	ring, err := keys.Load(keyFile)
	if err != nil {
		return nil, fmt.Errorf("machine %s can't be reached from here: %w", m.Name, err)
	}
	identity, err := keys.NewIdentity(keys.Config{Machine: "console", Address: net.IPv4(127, 0, 0, 1), Ring: ring})
	if err != nil {
		return nil, err
	}
	to := peers.New(peers.Config{Identity: identity, Address: func(string) (string, error) { return m.APIAddress, nil }})
	c, err := to.Client(m.ID)
	if err != nil {
		to.Close()
		return nil, err
	}
	return &peerClient{c, to}, nil
}

// peerClient is a client that takes with it what it was made of.
type peerClient struct {
	*client.Client
	peers *peers.Peers
}

// Close releases the connections.
func (c *peerClient) Close() { c.peers.Close() }
