package schedule

import (
	"fmt"
	"slices"
	"time"

	"fleettop/cluster"
	"fleettop/units"
	"fleettop/units/wording"
)

// Explanation says where a unit is or will go, and what each machine has to say to that.
type Explanation struct {
	Unit string `json:"unit"`
	// On has the IDs of the machines it is or will be on, or is left with while they
	// are away: several for a global unit, none when it is unplaced.
	On     []string `json:"on"`
	Reason string   `json:"reason"`
	// Roll says how far an update of a global unit is, while it goes on.
	Roll string `json:"roll,omitempty"`
	// Moving says of a unit that runs once whether it runs again when it moves.
	Moving   string    `json:"moving,omitempty"`
	Verdicts []Verdict `json:"verdicts"` // by machine name
}

// Verdict is one machine's answer to a unit.
type Verdict struct {
	Machine string `json:"machine"` // ID
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Reason  string `json:"reason"`
}

// Explain tells where a unit is or would be placed now, and why. It fails
// with an error wrapping cluster.ErrNotFound for a unit that isn't there.
func (p *Planner) Explain(in Input, name string) (Explanation, error) {
	rec, ok := in.Snapshot.Units[name]
	if !ok {
		return Explanation{}, fmt.Errorf("explain %s: %w; list-unit-files shows the units there are", name, cluster.ErrNotFound)
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
		e.Reason = "unplaced: " + pl.unplaced(u) + pl.waitsFor(i)
	} else {
		e.Reason = pl.standing(u, i)
	}
	if u.wanted && u.global() {
		roll := pl.rollOf(u)
		e.Roll = roll.says(pl.world)
	}
	on := pl.machinesWith(u)
	for _, m := range on {
		e.On = append(e.On, pl.machines[m].id)
		if u.wanted {
			pl.take(i, m)
		}
	}
	if kept != "" && len(on) == 0 { // its file forbids that machine by now
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
		why = "a template runs on no machine itself: load or start an instance of it, such as " + n.Prefix() + "@1." + n.Type()
	}
	return Explanation{Unit: u.Name, On: []string{}, Verdicts: []Verdict{}, Reason: why}
}

// kept says why a unit that runs once is left on a machine that failed; empty if it isn't.
func (p *plan) kept(u *unit, i int32) string {
	if _, moved := p.chosen[i]; moved || u.global() || len(u.given) == 0 {
		return ""
	}
	return p.in.Held(u.given[0].Machine)
}

// standing says why a placed unit is where it is.
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

// verdicts asks each machine about a unit that was taken from where it was.
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
			v.Reason, v.OK = p.saysOne(why), here
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
