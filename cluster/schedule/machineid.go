package schedule

import "strings"

// machineID: MachineID names the only machine that a unit may be on.
type machineID struct{ indifferent }

func (machineID) class(b *strings.Builder, p *parsed) { b.WriteString(p.req.MachineID) }

func (machineID) admits(_ *world, on *machine, p *parsed, _ bool) cause {
	if p.req.MachineID != "" && p.req.MachineID != on.id {
		return cause{kind: otherID}
	}
	return cause{}
}

func (machineID) says(*world, cause) (one, several string) {
	return "is not the one MachineID names", "are not the one MachineID names"
}

func (machineID) leaves(*world, cause) string { return "MachineID names another machine" }

func (machineID) unplaced(w *world, u *unit) string {
	id := u.parsed.req.MachineID
	if id == "" {
		return ""
	}
	m, ok := w.byID[id]
	if !ok {
		return "MachineID=" + id + " names no machine of this cluster; list-machines --full shows those there are"
	}
	return "MachineID allows only " + w.machines[m].name + ", which " + w.saysOne(w.verdict(u, m))
}
