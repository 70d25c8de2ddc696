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
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/demo"
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

// demoPower switches the demo's machines.
type demoPower struct {
	mu sync.Mutex // guards the cluster, as keys come from several goroutines
	d  *theDemo
}

func (p *demoPower) machine(id string) (*demo.Machine, error) {
	for _, m := range p.d.cluster.Machines {
		if m.ID == id {
			return m, nil
		}
	}
	return nil, fmt.Errorf("machine %.8s is not of this demo", id)
}

// Off implements tui.Power.
func (p *demoPower) Off(id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, err := p.machine(id)
	if err != nil {
		return err
	}
	if _, err := p.d.anyOn(m); err != nil {
		return err
	}
	_, err = p.d.cluster.PowerOff(m)
	return err
}

// On implements tui.Power.
func (p *demoPower) On(id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, err := p.machine(id)
	if err != nil {
		return err
	}
	return p.d.cluster.PowerOn(m)
}

// console lets a person play with the demo's cluster.
func (d *theDemo) console(ctx context.Context, hello string) error {
	first, err := d.anyOn(nil)
	if err != nil {
		return err
	}
	c, err := client.Dial("unix://" + first.Socket)
	if err != nil {
		return err
	}
	defer c.Close()
	sockets := map[string]string{}
	for _, m := range d.cluster.Machines {
		sockets[m.ID] = m.Socket
	}
	return d.show(ctx, tui.Options{Client: c, Hello: hello, ReadOnly: d.readOnly, Power: &demoPower{d: d},
		Other: func(m api.Machine) (tui.Client, error) {
			socket, ok := sockets[m.ID]
			if !ok {
				return nil, fmt.Errorf("machine %s is not of this demo", strings.TrimSpace(m.Name))
			}
			return client.Dial("unix://" + socket)
		}})
}
