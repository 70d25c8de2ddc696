package api

import (
	"fmt"
	"strings"

	"fleettop/units/wording"
)

// sentencesOfAKind is how many things of one kind are told before "… and 3 more".
const sentencesOfAKind = 4

// Diagnose says in sentences what is wrong between the machines, the most
// important first; one sentence says so where nothing is.
func (c *Connectivity) Diagnose() []string {
	names := map[string]string{}
	for _, m := range c.Machines {
		names[m.ID] = m.Label()
	}
	d := diagnosis{c, names, map[string]int{}}
	var out []string
	out = append(out, d.parts()...)
	for _, kind := range [][]string{d.unasked(), d.store(), d.pairs(), d.partly()} {
		if n := len(kind); n > sentencesOfAKind {
			kind = append(kind[:sentencesOfAKind:sentencesOfAKind], fmt.Sprintf("… and %d more of this kind.", n-sentencesOfAKind))
		}
		out = append(out, kind...)
	}
	if len(out) == 0 {
		if len(c.Machines) < 2 {
			return []string{"There is only one machine, and it reaches the store."}
		}
		out = []string{"Every machine reaches every other one, and the store."}
	}
	if c.More > 0 {
		out = append(out, fmt.Sprintf("%s more were not asked.", wording.Count(c.More, "machine")))
	}
	return out
}

// diagnosis is the work on one Connectivity.
type diagnosis struct {
	*Connectivity
	names map[string]string
	part  map[string]int // of each machine, as parts found them
}

// parts tells of machines that don't reach each other in either direction. A machine
// that didn't answer belongs to those that reach it.
func (d diagnosis) parts() (out []string) {
	part := make([]int, len(d.Machines))
	for i := range part {
		part[i] = i
	}
	at := map[string]int{}
	for i, m := range d.Machines {
		at[m.ID] = i
	}
	for i := range d.Views {
		for n := range d.Views[i].Contacts {
			contact := &d.Views[i].Contacts[n]
			other, known := at[contact.Machine]
			if !known || !contact.Reaches() || part[other] == part[i] {
				continue
			}
			from, to := part[other], part[i]
			for k := range part {
				if part[k] == from {
					part[k] = to
				}
			}
		}
	}
	var order []int
	members := map[int][]string{}
	for i, m := range d.Machines {
		d.part[m.ID] = part[i]
		if members[part[i]] == nil {
			order = append(order, part[i])
		}
		members[part[i]] = append(members[part[i]], d.names[m.ID])
	}
	answered := map[int]bool{}
	for _, v := range d.Views {
		if i, known := at[v.Machine]; known && v.Error == "" {
			answered[part[i]] = true
		}
	}
	var sides, lost []string
	for _, p := range order {
		if answered[p] {
			sides = append(sides, list(members[p]))
		} else { // they may be dead, or parts of their own: that can't be told from here
			lost = append(lost, members[p]...)
		}
	}
	if len(sides) > 1 {
		out = append(out, fmt.Sprintf("The machines are in %d parts that don't reach each other: %s.", len(sides),
			strings.Join(sides, " | ")))
	}
	if len(lost) > 0 {
		out = append(out, fmt.Sprintf("No machine that answered reaches %s.", list(lost)))
	}
	return out
}

// unasked tells of machines that didn't answer the one that asks.
func (d diagnosis) unasked() (out []string) {
	for _, v := range d.Views {
		if v.Error != "" {
			out = append(out, fmt.Sprintf("What %s sees isn't known: %s.", d.names[v.Machine], strings.TrimSuffix(v.Error, ".")))
		}
	}
	return out
}

// store tells of machines that don't reach the store, and of those without a session.
func (d diagnosis) store() (out []string) {
	for _, v := range d.Views {
		if v.Error == "" && v.Store != Answered {
			text := d.names[v.Machine] + " does not reach the store"
			if v.StateAge > 0 {
				text += "; the state it knows is " + wording.Age(Span(v.StateAge)) + " old"
			}
			out = append(out, text+".")
		}
	}
	for _, m := range d.Machines {
		without, answered := 0, 0
		for _, v := range d.Views {
			if c := v.Of(m.ID); c != nil && v.Store == Answered {
				answered++
				if !c.Session {
					without++
				}
			}
		}
		if without > 0 && without == answered {
			out = append(out, fmt.Sprintf("The store has no session of %s: its daemon is not there, or doesn't reach the store.",
				d.names[m.ID]))
		}
	}
	return out
}

// pairs tells of machines of one part that don't reach each other, or of which only one reaches the other.
func (d diagnosis) pairs() (out []string) {
	for i := range d.Views {
		here := d.names[d.Views[i].Machine]
		for n := range d.Views[i].Contacts {
			contact := &d.Views[i].Contacts[n]
			back, other := d.back(i, contact), d.names[contact.Machine]
			switch {
			case back == nil || back.Reaches() || d.part[d.Views[i].Machine] != d.part[contact.Machine]:
			case contact.Reaches():
				out = append(out, fmt.Sprintf("%s reaches %s, but %s does not reach %s.", here, other, other, here))
			case here < other:
				out = append(out, fmt.Sprintf("%s and %s do not reach each other.", here, other))
			}
		}
	}
	return out
}

// back is what the other machine of a contact sees of the one that has it; nil where that isn't known.
func (d diagnosis) back(view int, c *Contact) *Contact {
	for i := range d.Views {
		if d.Views[i].Machine == c.Machine {
			return d.Views[i].Of(d.Views[view].Machine)
		}
	}
	return nil
}

// partly tells of machines that reach another one in some ways, and not in all.
func (d diagnosis) partly() (out []string) {
	for i := range d.Views {
		for n := range d.Views[i].Contacts {
			c := &d.Views[i].Contacts[n]
			if !c.Reaches() {
				continue
			}
			var missing []string
			if !c.Hears() {
				missing = append(missing, gossipTrouble(c))
			}
			if c.Probe != Answered && c.Probe != NotTried {
				missing = append(missing, "a probe was not answered ("+c.Probe+")")
			}
			if c.API != Answered && c.API != NotTried {
				missing = append(missing, "its API did not answer")
			}
			if len(missing) > 0 {
				out = append(out, fmt.Sprintf("%s reaches %s, but %s.", d.names[d.Views[i].Machine], d.names[c.Machine],
					strings.Join(missing, ", and ")))
			}
		}
	}
	return out
}

func gossipTrouble(c *Contact) string {
	if c.Gossip == "" {
		return "gossip doesn't know it"
	}
	return fmt.Sprintf("gossip calls it %s and last heard it %s ago", c.Gossip, wording.Age(Span(c.GossipAge)))
}

// list is some names, and how many more there are.
func list(names []string) string {
	const most = 8
	if n := len(names) - most; n > 1 {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(names, ", ")
}

// Describe says what the contact's machine is to the one that sees it, in clauses.
func (c *Contact) Describe() []string {
	gossip := "gossip doesn't know it"
	if c.Gossip != "" {
		gossip = fmt.Sprintf("gossip: %s, heard %s ago", c.Gossip, wording.Age(Span(c.GossipAge)))
	}
	session := "no session in the store"
	if c.Session {
		session = "session for " + wording.Age(Span(c.SessionAge))
	}
	tried := func(what, result string, took float64, why string) string {
		switch {
		case why != "":
			return what + ": " + why
		case result == NotTried:
			return what + ": not tried, as no address is known"
		case result == Silent:
			return what + ": no answer within " + wording.Age(Span(took))
		}
		return fmt.Sprintf("%s: %s in %s", what, result, brief(took))
	}
	return []string{gossip, tried("probe", c.Probe, c.ProbeTook, ""), session, tried("API", c.API, c.APITook, c.APIError)}
}

// brief is a time that something took: to the millisecond where it is short.
func brief(seconds float64) string {
	if seconds < 0.0995 {
		return fmt.Sprintf("%.0fms", max(1, seconds*1000))
	}
	return wording.Age(Span(seconds))
}

// DescribeStore says how the machine does with the store.
func (v *Connections) DescribeStore() string {
	switch {
	case v.Store == Answered:
		return "store answers in " + brief(v.StoreTook)
	case v.StateAge > 0:
		return "no store for " + wording.Age(Span(v.StateAge))
	}
	return "no answer of the store"
}
