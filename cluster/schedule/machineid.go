package schedule

import (
	"strings"
)

// machineID: MachineID= names the only machine that a unit may run on, by its
// ID or by the first digits of the ID.
type machineID struct{ unconstrained }

func (machineID) writeClass(b *strings.Builder, p *parsed) { b.WriteString(p.req.MachineID) }

// admits keeps a unit in place when a machine joins whose ID begins with the same digits.
func (machineID) admits(w *world, on *machine, p *parsed, stays bool) cause {
	named := w.named(p.req.MachineID)
	for _, m := range named {
		if on == &w.machines[m] && (stays || len(named) == 1) {
			return cause{}
		}
	}
	return cause{kind: otherID}
}

// leastDigits is the least number of digits that name a machine; list-machines shows as many.
const leastDigits = 8

// named returns the machines that a MachineID= names: several if their IDs begin with it.
func (w *world) named(id string) []int32 {
	if m, ok := w.byID[id]; ok {
		return []int32{m}
	}
	named, known := w.byDigits[id]
	if known || len(id) < leastDigits || strings.Trim(id, "0123456789abcdef") != "" {
		return named
	}
	for i := range w.machines {
		if m := &w.machines[i]; m.known && strings.HasPrefix(m.id, id) {
			named = append(named, int32(i))
		}
	}
	w.byDigits[id] = named
	return named
}

func (machineID) describe(*world, cause) (one, several string) {
	return "is not the one MachineID names", "are not the one MachineID names"
}

func (machineID) describeLeaving(*world, cause) string { return "MachineID names another machine" }

func (machineID) whyUnplaced(w *world, u *unit) string {
	id := u.parsed.req.MachineID
	if id == "" {
		return ""
	}
	switch named := w.named(id); len(named) {
	case 0:
		return "MachineID=" + id + " names no machine of this cluster; list-machines --full shows those there are"
	case 1:
		return "MachineID allows only " + w.machines[named[0]].name + ", which " + w.describeOne(w.verdict(u, named[0]))
	default:
		return "MachineID=" + id + " begins the IDs of " + w.machines[named[0]].name + " and " +
			w.machines[named[1]].name + ": give more digits"
	}
}
