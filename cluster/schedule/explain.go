package schedule

import (
	"fmt"
	"slices"
	"time"

	"fleettop/cluster"
	"fleettop/units"
	"fleettop/units/wording"
)

// Explanation says where a unit is or will be, and which machines take it.
type Explanation struct {
	Unit string `json:"unit"`
	// On are the IDs of the machines that it is or will be on, or that keep it
	// while they don't run: several for a global unit, none when it is unplaced.
	On     []string `json:"on"`
	Reason string   `json:"reason"`
	// Stays says why it can't leave its machine, which is drained.
	Stays string `json:"stays,omitempty"`
	// Roll says how far an update of a global unit is, while it goes on.
	Roll string `json:"roll,omitempty"`
	// Moving says whether a unit that runs once runs again after a move.
	Moving   string    `json:"moving,omitempty"`
	Verdicts []Verdict `json:"verdicts"` // by machine name
}

// Verdict says whether one machine takes a unit, and why.
type Verdict struct {
	Machine string `json:"machine"` // ID
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Reason  string `json:"reason"`
}

// Explain returns where a unit is or would be placed now, and why. The error
// wraps cluster.ErrNotFound if there is no such unit.
func (p *Planner) Explain(in Input, name string) (Explanation, error) {
	rec, ok := in.Snapshot.Units[name]
	if !ok {
		return Explanation{}, fmt.Errorf("explain %s: %w; list-unit-files shows the units there are",
			name, cluster.ErrNotFound)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sync(in)
	p.settled = nil
	pl := p.plan(in, time.Time{})
	defer pl.undo()
	i, known := pl.byName[name]
	if !known {
		return pl.explainUnwanted(rec), nil
	}
	u := &pl.units[i]
	e := Explanation{Unit: name, On: []string{}, Verdicts: []Verdict{}}
	kept := ""
	if !u.wanted {
		e = pl.explainUnwanted(rec)
	} else if kept = pl.kept(u, i); kept != "" {
		e.Reason = kept
	} else if pl.failed[i] {
		e.Reason = "unplaced: " + pl.whyUnplaced(u) + pl.waitsFor(i)
	} else {
		e.Reason = pl.standing(u, i)
	}
	e.Stays = pl.stays[i].Reason
	if u.wanted && u.global() {
		roll := pl.rollOf(u)
		e.Roll = roll.describe(pl.world)
	}
	on := pl.machinesWith(u)
	for _, m := range on {
		e.On = append(e.On, pl.machines[m].id)
		if u.wanted {
			pl.unassign(i, m)
		}
	}
	if kept != "" && len(on) == 0 { // its file doesn't allow that machine any more
		m := u.given[0].Machine
		e.On, on = append(e.On, m), append(on, pl.byID[m])
	}
	if u.wanted {
		e.On = append(e.On, pl.leftWith(i)...)
		e.Verdicts, e.Moving = pl.verdicts(u, on), pl.runsAgain(u)
	}
	return e, nil
}

func (p *plan) explainUnwanted(u cluster.Unit) Explanation {
	why := "desired state " + string(u.Desired) + ": load or start it to have it placed"
	if n, err := units.ParseName(u.Name); err == nil && n.IsTemplate() {
		why = "a template runs on no machine itself: load or start an instance of it, such as " +
			n.Prefix() + "@1." + n.Type()
	}
	return Explanation{Unit: u.Name, On: []string{}, Verdicts: []Verdict{}, Reason: why}
}

// kept says why a unit stays on a failed machine; empty if it doesn't.
func (p *plan) kept(u *unit, i int32) string {
	if _, moved := p.chosen[i]; moved || u.global() || len(u.given) == 0 {
		return ""
	}
	return p.in.Held(u.given[0].Machine)
}

// standing says why a unit is on its machine.
func (p *plan) standing(u *unit, i int32) string {
	if c, ok := p.chosen[i]; ok {
		return p.why(u, c)
	}
	if u.global() {
		return everywhere
	}
	return u.given[0].Reason
}

func (p *plan) machinesWith(u *unit) []int32 {
	var on []int32
	if u.at >= 0 {
		on = append(on, u.at)
	}
	for m := range u.on {
		on = append(on, m)
	}
	slices.Sort(on)
	return on
}

// verdicts returns each machine's verdict on a unit that was taken from its machines.
func (p *plan) verdicts(u *unit, on []int32) []Verdict {
	var list []Verdict
	for k := range p.machines {
		m := &p.machines[k]
		v := Verdict{Machine: m.id, Name: m.name}
		why := p.verdict(u, int32(k))
		switch here := slices.Contains(on, int32(k)); {
		case u.parsed.err != "":
			v.Reason = "it can't be placed: " + u.parsed.err
		case why.kind != fits:
			v.Reason, v.OK = p.describeOne(why), here
			if here && p.held(int32(k)) {
				v.Reason += "; its units stay, as failovers are held"
			}
		default:
			v.OK = true
			v.Reason = wording.Count(len(m.residents), "unit")
			if u.spread >= 0 {
				v.Reason += fmt.Sprintf(", %s of %s", wording.Count(int(p.siblings(u, int32(k))), "instance"), u.parsed.template)
			}
		}
		list = append(list, v)
	}
	return list
}
