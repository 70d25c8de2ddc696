package demo

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/tui"
)

// power switches the demo's machines.
type power struct {
	mu sync.Mutex // guards the cluster, as keys come from several goroutines
	r  *run
}

func (p *power) machine(id string) (*Machine, error) {
	for _, m := range p.r.cluster.Machines {
		if m.ID == id {
			return m, nil
		}
	}
	return nil, fmt.Errorf("machine %.8s is not of this demo", id)
}

// Off implements tui.Power.
func (p *power) Off(id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, err := p.machine(id)
	if err != nil {
		return err
	}
	if _, err := p.r.anyOn(m); err != nil {
		return err
	}
	_, err = p.r.cluster.PowerOff(m)
	return err
}

// On implements tui.Power.
func (p *power) On(id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, err := p.machine(id)
	if err != nil {
		return err
	}
	return p.r.cluster.PowerOn(m)
}

// console lets a person play with the demo's cluster.
func (r *run) console(ctx context.Context) error {
	first, err := r.anyOn(nil)
	if err != nil {
		return err
	}
	c, err := client.Dial("unix://" + first.Socket)
	if err != nil {
		return err
	}
	defer c.Close()
	sockets := map[string]string{}
	for _, m := range r.cluster.Machines {
		sockets[m.ID] = m.Socket
	}
	return r.Console(ctx, tui.Options{Client: c, Hello: "From another terminal: " + r.reach(), Power: &power{r: r},
		Other: func(m api.Machine) (tui.Client, error) {
			socket, ok := sockets[m.ID]
			if !ok {
				return nil, fmt.Errorf("machine %s is not of this demo", strings.TrimSpace(m.Name))
			}
			return client.Dial("unix://" + socket)
		}})
}
