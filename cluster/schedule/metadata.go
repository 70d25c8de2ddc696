package schedule

import (
	"maps"
	"slices"
	"strings"

	"fleettop/units"
)

// metadata: for each key of MachineMetadata=, the machine has one of the values.
type metadata struct{ unconstrained }

// demand is a metadata key and the values of which a machine must have one.
type demand struct {
	key    string
	values []string
}

// demandsOf returns the metadata that a unit requires, by key.
func demandsOf(req *units.Requirements) []demand {
	var demands []demand
	for _, k := range slices.Sorted(maps.Keys(req.Metadata)) {
		demands = append(demands, demand{k, req.Metadata[k]})
	}
	return demands
}

func (metadata) writeClass(b *strings.Builder, p *parsed) {
	for _, d := range p.metadata {
		b.WriteString("\x00" + d.key)
		for _, v := range d.values {
			b.WriteString("\x01" + v)
		}
	}
}

func (metadata) admits(_ *world, on *machine, p *parsed, _ bool) cause {
	for _, d := range p.metadata {
		if v, ok := on.rec.Metadata[d.key]; !ok || !slices.Contains(d.values, v) {
			return cause{kind: lacking, detail: d.key + "=" + strings.Join(d.values, " or ")}
		}
	}
	return cause{}
}

func (metadata) describe(_ *world, why cause) (one, several string) {
	return "lacks " + why.detail, "lack " + why.detail
}

func (c metadata) describeLeaving(w *world, why cause) string { return ofMachine(c.describe(w, why)) }
