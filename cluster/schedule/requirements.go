package schedule

import (
	"strings"

	"fleettop/cluster"
	"fleettop/units"
)

// parsed are the requirements in a unit's file, as of a hash.
type parsed struct {
	hash     string
	req      units.Requirements
	metadata []demand     // of req, sorted by key
	template string       // of an instance
	asks     []constraint // those with requirements of a machine itself
	class    string       // equal for units with the same requirements of a machine itself
	oneshot  bool         // it runs, ends and is then done
	once     bool         // the same, and it isn't run again on another machine
	err      string       // set when the file can't be understood
}

// files caches parsed files by hash.
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
	// A global unit is done on each machine separately, until that fails.
	p.once = p.oneshot && !p.req.Rerun && !p.req.Global
	p.metadata = demandsOf(&p.req)
	var b strings.Builder
	for _, c := range all {
		before := b.Len()
		if c.writeClass(&b, &p); b.Len() > before {
			p.asks = append(p.asks, c)
		}
	}
	p.class = b.String()
	return p
}
