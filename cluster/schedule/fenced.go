package schedule

import (
	"cmp"
	"strings"
)

// fenced: the machine has a fence, which an exclusive unit needs.
type fenced struct{ unconstrained }

func (fenced) writeClass(b *strings.Builder, p *parsed) {
	if p.req.Exclusive {
		b.WriteString("\x05exclusive")
	}
}

func (fenced) admits(_ *world, on *machine, p *parsed, _ bool) cause {
	if p.req.Exclusive && !on.rec.Fences {
		return cause{kind: unfenced, detail: cmp.Or(on.rec.NoFence, "its daemon is older than exclusive units")}
	}
	return cause{}
}

func (fenced) describe(_ *world, why cause) (one, several string) {
	return "has no fence for exclusive units (" + why.detail + ")", "have no fence for exclusive units (" + why.detail + ")"
}

func (c fenced) describeLeaving(w *world, why cause) string { return ofMachine(c.describe(w, why)) }
