//go:build e2e

package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
)

// home returns the one machine on which a unit's processes run.
func (f *fleet) home(unit string) *lab.Machine {
	f.t.Helper()
	var on []*lab.Machine
	f.eventually(unit+" to run on one machine", soon, func() error {
		on = f.procs.running(unit)
		if len(on) != 1 {
			return fmt.Errorf("it runs on %d", len(on))
		}
		return nil
	})
	return on[0]
}

// unitsOn returns those of the units that run on a machine.
func (f *fleet) unitsOn(m *lab.Machine, names []string) []string {
	f.t.Helper()
	return slices.DeleteFunc(slices.Clone(names), func(unit string) bool { return f.home(unit) != m })
}

// others returns the machines without those named.
func (f *fleet) others(without ...*lab.Machine) []*lab.Machine {
	return slices.DeleteFunc(slices.Clone(f.machines), func(m *lab.Machine) bool { return slices.Contains(without, m) })
}

// leader returns the machine that leads, by the word of the first running machine that knows.
func (f *fleet) leader() *lab.Machine {
	f.t.Helper()
	return f.leaderWithin(soon)
}

func (f *fleet) leaderWithin(limit time.Duration) *lab.Machine {
	f.t.Helper()
	var leader *lab.Machine
	f.eventually("a leader", limit, func() error {
		var last error
		for _, m := range f.machines {
			if !m.Running() {
				continue
			}
			list, err := f.client(m).Machines(f.ctx)
			if err != nil {
				last = err
				continue
			}
			for _, info := range list.Machines {
				if info.Leader && list.Store.Connected {
					leader = f.machine(info.ID)
					return nil
				}
			}
		}
		return errors.Join(errors.New("nobody leads"), last)
	})
	return leader
}

func (f *fleet) machine(id string) *lab.Machine {
	f.t.Helper()
	for _, m := range f.machines {
		if m.MachineID == id {
			return m
		}
	}
	f.t.Fatalf("the lab has no machine %s", id)
	return nil
}

// etcdLeader returns the machine whose etcd leads the others, by its own
// metrics. It shows the certificate of the machine it asks.
func (f *fleet) etcdLeader() *lab.Machine {
	f.t.Helper()
	var leader *lab.Machine
	f.eventually("a leader of etcd", soon, func() error {
		var last error
		for _, m := range f.machines {
			if !m.Running() {
				continue
			}
			text, err := f.etcdMetrics(m)
			if err == nil && strings.Contains(text, "\netcd_server_is_leader 1\n") {
				leader = m
				return nil
			}
			last = err // no voter, or not up yet
		}
		return errors.Join(errors.New("no etcd says that it leads"), last)
	})
	return leader
}

func (f *fleet) etcdMetrics(m *lab.Machine) (string, error) {
	certPEM, err := m.ReadFile("/run/fleettop/tls/cert.pem")
	if err != nil {
		return "", err
	}
	keyPEM, err := m.ReadFile("/run/fleettop/tls/key.pem")
	if err != nil {
		return "", err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return "", err
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: f.lab.Dial,
		DisableKeepAlives: true,
		// Whose certificate it is is not what is tested here.
		TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true}}}
	resp, err := client.Get(fmt.Sprintf("https://%s:7372/metrics", m.IP))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// events returns the timeline since a moment, oldest first, as a machine has it.
func (f *fleet) events(m *lab.Machine, since time.Time) []cluster.Event {
	f.t.Helper()
	list, err := f.client(m).Events(f.ctx, since.Format(time.RFC3339Nano), 10000)
	f.must(err)
	return list
}

// timeline is what happened since a moment, for the log.
func (f *fleet) timeline(m *lab.Machine, since time.Time) string {
	f.t.Helper()
	var b strings.Builder
	for _, e := range f.events(m, since) {
		fmt.Fprintf(&b, "\n%+.3f s  %s  %s", e.Time.Sub(since).Seconds(), e.Kind, e.Text)
	}
	return b.String()
}

// still fails the test if the timeline since a moment tells of a move or a failover.
func (f *fleet) still(m *lab.Machine, since time.Time) {
	f.t.Helper()
	for _, e := range f.events(m, since) {
		switch e.Kind {
		case cluster.EventMoved, cluster.EventFailover, cluster.EventFailed:
			f.t.Errorf("nothing should have moved or failed, but: %s: %s", e.Kind, e.Text)
		}
	}
}
