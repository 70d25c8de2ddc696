package schedule

import (
	"maps"
	"slices"
	"strings"

	"fleettop/cluster"
	"fleettop/units"
)

// parsed is what a unit's file asks of a machine, as of a hash.
type parsed struct {
	hash     string
	req      units.Requirements
	metadata []demand // of req, sorted by key
	template string   // of an instance
	class    string   // equal for units that ask the same of a machine alone
	once     bool     // it runs, ends and is done, wherever it is given to later
	err      string   // set when the file can't be understood
}

// demand is a metadata key and the values of which a machine must have one.
type demand struct {
	key    string
	values []string
}

// files remembers parsed files by hash, for units that have the same.
type files map[string]*units.File

func (f files) parse(u *cluster.Unit) (*units.File, error) {
	if file, ok := f[u.Hash]; ok && u.Hash != "" {
		return file, nil
	}
	file, err := units.ParseFile(u.Content)
	if err == nil {
		f[u.Hash] = file
	}
	return file, err
}

func parse(u *cluster.Unit, known files) parsed {
	p := parsed{hash: u.Hash}
	name, err := units.ParseName(u.Name)
	if err != nil {
		p.err = err.Error()
		return p
	}
	if name.IsTemplate() {
		p.err = "a template runs nothing itself; start an instance of it, like " + name.Prefix() + "@1." + name.Type()
		return p
	}
	p.template = name.Template()
	file, err := known.parse(u)
	if err != nil {
		p.err = err.Error()
		return p
	}
	if p.req, err = file.Requirements(name); err != nil {
		p.err = err.Error()
		return p
	}
	// A global unit is done on each machine for itself, for as long as that is up.
	p.once = file.RunsOnce(name) && !p.req.Rerun && !p.req.Global
	var b strings.Builder
	b.WriteString(p.req.MachineID)
	for _, k := range slices.Sorted(maps.Keys(p.req.Metadata)) {
		p.metadata = append(p.metadata, demand{k, p.req.Metadata[k]})
		b.WriteString("\x00" + k)
		for _, v := range p.req.Metadata[k] {
			b.WriteString("\x01" + v)
		}
	}
	p.class = b.String()
	return p
}

// class is the machines that new units with the same MachineID and
// MachineMetadata may go to, in order, and what keeps the others out.
type class struct {
	able   []int32
	causes map[cause]int
}

func (w *world) classOf(p *parsed) *class {
	if c, ok := w.classes[p.class]; ok {
		return c
	}
	c := &class{causes: map[cause]int{}}
	for i := range w.machines {
		m := &w.machines[i]
		if why := m.refuses(p); why.kind == fits {
			c.able = append(c.able, int32(i))
		} else {
			c.causes[why]++
		}
	}
	w.classes[p.class] = c
	return c
}

// refuses tells why a machine takes no new unit with these requirements, other units aside.
func (m *machine) refuses(p *parsed) cause {
	switch {
	case !m.known:
		return cause{kind: unknown}
	case m.state != cluster.Up:
		return cause{kind: unhealthy, detail: string(m.state)}
	case m.rec.Schedule != cluster.Schedulable:
		return cause{kind: closed, detail: string(m.rec.Schedule)}
	}
	return m.lacks(p)
}

// lacks tells which requirement on the machine itself is not met.
func (m *machine) lacks(p *parsed) cause {
	if p.req.MachineID != "" && p.req.MachineID != m.id {
		return cause{kind: otherID}
	}
	for _, d := range p.metadata {
		if v, ok := m.rec.Metadata[d.key]; !ok || !slices.Contains(d.values, v) {
			return cause{kind: lacking, detail: d.key + "=" + strings.Join(d.values, " or ")}
		}
	}
	return cause{}
}
