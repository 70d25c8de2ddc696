package schedule

import (
	"strings"

	"fleettop/cluster"
	"fleettop/units"
)

// parsed is what a unit's file asks of a machine, as of a hash.
type parsed struct {
	hash     string
	req      units.Requirements
	metadata []demand     // of req, sorted by key
	template string       // of an instance
	asks     []constraint // those by which it matters what a machine itself is
	class    string       // equal for units that ask the same of a machine alone
	oneshot  bool         // it runs, ends and is done on a machine
	once     bool         // it runs, ends and is done, wherever it is given to later
	err      string       // set when the file can't be understood
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
	p.oneshot = file.RunsOnce(name)
	// A global unit is done on each machine for itself, for as long as that is up.
	p.once = p.oneshot && !p.req.Rerun && !p.req.Global
	p.metadata = demandsOf(&p.req)
	var b strings.Builder
	for _, c := range all {
		before := b.Len()
		if c.class(&b, &p); b.Len() > before {
			p.asks = append(p.asks, c)
		}
	}
	p.class = b.String()
	return p
}
