package api

import (
	"slices"
	"strings"
	"testing"
)

// seen is a cluster of n1, n2, … in which each machine reaches each other one.
func seen(names ...string) *Connectivity {
	c := &Connectivity{}
	for _, n := range names {
		c.Machines = append(c.Machines, MachineRef{ID: n, Name: n})
		v := Connections{Machine: n, Store: Answered}
		for _, o := range names {
			if o != n {
				v.Contacts = append(v.Contacts, Contact{Machine: o, Gossip: GossipAlive, GossipAge: 0.2, Probe: Answered,
					ProbeTook: 0.001, Session: true, SessionAge: 60, API: Answered, APITook: 0.002})
			}
		}
		c.Views = append(c.Views, v)
	}
	return c
}

func (c *Connectivity) view(id string) *Connections {
	return &c.Views[slices.IndexFunc(c.Views, func(v Connections) bool { return v.Machine == id })]
}

// lose makes a machine see nothing of another one any more, but for its session.
func (c *Connectivity) lose(from, to string) {
	k := c.view(from).Of(to)
	k.Gossip, k.GossipAge, k.Probe, k.API = "failed", 12, Silent, Silent
}

func TestDiagnose(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(c *Connectivity)
		want   []string
	}{
		"all is well": {func(*Connectivity) {}, []string{"Every machine reaches every other one, and the store."}},
		"n3 is cut off and can't be asked": {func(c *Connectivity) {
			c.lose("n1", "n3")
			c.lose("n2", "n3")
			*c.view("n3") = Connections{Machine: "n3", Error: "it did not answer within 0.9 s"}
		}, []string{"No machine that answered reaches n3.",
			"What n3 sees isn't known: it did not answer within 0.9 s."}},
		"two parts": {func(c *Connectivity) {
			for _, n := range []string{"n1", "n2"} {
				c.lose(n, "n3")
				c.lose("n3", n)
			}
		}, []string{"The machines are in 2 parts that don't reach each other: n1, n2 | n3."}},
		"one way only": {func(c *Connectivity) { c.lose("n3", "n1") },
			[]string{"n1 reaches n3, but n3 does not reach n1."}},
		"a line between two": {func(c *Connectivity) {
			c.lose("n1", "n3")
			c.lose("n3", "n1")
		}, []string{"n1 and n3 do not reach each other."}}, // n2 reaches both, so that they are in one part
		"no store": {func(c *Connectivity) {
			c.view("n2").Store, c.view("n2").StateAge = Silent, 12
		}, []string{"n2 does not reach the store; the state it knows is 12s old."}},
		"no session": {func(c *Connectivity) {
			c.view("n1").Of("n2").Session = false
			c.view("n3").Of("n2").Session = false
		}, []string{"The store has no session of n2: its daemon is not there, or doesn't reach the store."}},
		"gossip is deaf": {func(c *Connectivity) {
			k := c.view("n1").Of("n2")
			k.Gossip, k.GossipAge = "suspect", 3
		}, []string{"n1 reaches n2, but gossip calls it suspect and last heard it 3s ago."}},
		"the port of the API is blocked": {func(c *Connectivity) { c.view("n1").Of("n2").API = Refused },
			[]string{"n1 reaches n2, but its API did not answer."}},
		"there are more": {func(c *Connectivity) { c.More = 2 },
			[]string{"Every machine reaches every other one, and the store.", "2 machines more were not asked."}},
	} {
		c := seen("n1", "n2", "n3")
		tt.change(c)
		if got := c.Diagnose(); !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n%s\nnot\n%s", name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
}

// TestDiagnoseIsShort: of many things of a kind the first are told, and how many more there are.
func TestDiagnoseIsShort(t *testing.T) {
	c := seen("n1", "n2", "n3", "n4", "n5", "n6")
	for _, n := range []string{"n2", "n3", "n4", "n5", "n6"} {
		c.lose(n, "n1")
	}
	got := c.Diagnose()
	if len(got) != sentencesOfAKind+1 || got[sentencesOfAKind] != "… and 1 more of this kind." {
		t.Errorf("%q", got)
	}
}

func TestContactInWords(t *testing.T) {
	c := seen("n1", "n2")
	k := c.view("n1").Of("n2")
	if got := strings.Join(k.Describe(), "; "); got !=
		"gossip: alive, heard 200ms ago; probe: answered in 1ms; session for 1min; API: answered in 2ms" {
		t.Error(got)
	}
	if k.Letters() != "GPSA" || !k.Well() {
		t.Errorf("%q, %+v", k.Letters(), k)
	}
	k.Gossip, k.Probe, k.Session, k.API, k.APIError, k.ProbeTook = "", Silent, false, Refused, "it refused the connection", 0.4
	if got := strings.Join(k.Describe(), "; "); got != "gossip doesn't know it; probe: no answer within 400ms; "+
		"no session in the store; API: it refused the connection" {
		t.Error(got)
	}
	if k.Letters() != "----" || k.Well() || k.Reaches() {
		t.Errorf("%q, %+v", k.Letters(), k)
	}
	if k.Probe = NotTried; k.Describe()[1] != "probe: not tried, as no address is known" {
		t.Error(k.Describe()[1])
	}
}
