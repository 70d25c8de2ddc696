package cli

import (
	"context"
	"strings"
	"testing"

	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/daemon/api/server"
)

// cutOff is two machines of which the second can't be asked.
type cutOff struct{}

func (cutOff) Connectivity(context.Context) api.Connectivity {
	c := api.Connectivity{Asked: apitest.Machine(1).ID}
	for _, n := range []int{1, 2} {
		m := apitest.Machine(n)
		c.Machines = append(c.Machines, api.MachineRef{ID: m.ID, Name: m.Name})
	}
	other := apitest.Machine(2).ID
	c.Views = []api.Connections{{Machine: apitest.Machine(1).ID, Store: api.Answered, StoreTook: 0.003,
		Contacts: []api.Contact{{Machine: other, Gossip: "suspect", GossipAge: 3, Probe: api.Silent, API: api.Silent, Session: true}}},
		{Machine: other, Error: "it did not answer within 0.9 s"}}
	c.Sentences = c.Diagnose()
	return c
}

func (cutOff) Local(context.Context, []string) api.Connections { return api.Connections{} }

func TestConnectivity(t *testing.T) {
	s := newShell(t, 2, func(c *server.Config) { c.Connectivity = cutOff{} })
	var got []string
	for line := range strings.Lines(s.must("connectivity")) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{"FROM n1 n2 STORE", "n1 . --S- 3s store answers in 3ms", "n2 ? ? it did not answer within 0.9 s", "",
		"No machine that answered reaches n2.",
		"What n2 sees isn't known: it did not answer within 0.9 s."}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("it prints\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
