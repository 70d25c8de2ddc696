package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/keys"
	"fleettop/daemon/peers"
	"fleettop/tui"
	"fleettop/tui/config"
)

// console shows the console, or says that it needs a terminal.
func (a *app) console(cmd *cobra.Command) error {
	if a.visitor != nil {
		return a.visitorConsole(cmd.Context())
	}
	if !print.IsTerminal(a.out) || !print.IsTerminal(a.in) {
		cmd.SetOut(a.err)
		if err := cmd.Help(); err != nil {
			return err
		}
		fmt.Fprintln(a.err)
		return usageError{errors.New("without a verb fleettop opens its console, which needs a terminal: give a verb, such as list-units, or run it on a terminal")}
	}
	c, err := a.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	return a.show(cmd.Context(), tui.Options{Client: c, Other: a.otherDaemon, ReadOnly: a.readOnly})
}

// untilSignal returns a context that one of the signals ends, with it as the
// cause. Until stop is called the signals do nothing else.
func untilSignal(ctx context.Context, signals ...os.Signal) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	got := make(chan os.Signal, 1)
	signal.Notify(got, signals...)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case s := <-got:
			cancel(signalled{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-ended
		signal.Stop(got)
	}
}

// raw is the standard output as it is, for what speaks to the terminal itself or to a program.
func (a *app) raw() io.Writer {
	if o, ok := a.out.(*print.Output); ok {
		return o.Raw()
	}
	return a.out
}

// show runs the console on this terminal. The console itself handles the
// signals that end ctx: an interrupt while an editor runs is the editor's.
func (a *app) show(ctx context.Context, o tui.Options) error {
	path, err := config.Path()
	if err != nil {
		o.Warnings = append(o.Warnings, err.Error())
	} else {
		o.Config, o.Warnings = config.Load(path)
	}
	o.In, o.Out, o.NoColor = a.in, a.raw(), a.noColor
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
func (a *app) otherDaemon(m api.Machine) (tui.Client, error) {
	u, err := url.Parse(a.endpoint)
	switch {
	case err != nil:
		return nil, err
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
