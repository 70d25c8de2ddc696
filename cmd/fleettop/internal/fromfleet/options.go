package fromfleet

import (
	"errors"
	"strings"

	"fleettop/daemon/api"
	"fleettop/units"
)

// WithOptions returns the file of a host's unit with lines NAME=VALUE added to its [X-Fleet] section.
func WithOptions(host units.HostUnit, options []string) (api.File, error) {
	f := api.File{Name: host.Name, Content: host.Content}
	if len(options) == 0 {
		return f, nil
	}
	for _, o := range options {
		if name, value, ok := strings.Cut(o, "="); !ok || name == "" || value == "" || strings.ContainsAny(o, "\r\n") {
			return f, api.Refuse(api.CodeInvalid, "write it as in a unit file, such as --option MachineOf=db.service",
				"the option %q is none", o)
		}
	}
	f.Content = strings.TrimSuffix(f.Content, "\n") + "\n\n[X-Fleet]\n" + strings.Join(options, "\n") + "\n"
	return f, nil
}

// CheckGlobal reports whether a file is a global unit's. Of such a unit every
// machine is asked: it refuses where one has another file under the name.
func CheckGlobal(f api.File, c Cluster) (global bool, err error) {
	name, err := units.ParseName(f.Name)
	if err != nil {
		return false, err
	}
	file, err := units.ParseFile(f.Content)
	if err != nil {
		return false, err
	}
	need, err := file.Requirements(name)
	if err != nil || !need.Global {
		return false, err
	}
	first, at := "", ""
	for _, m := range c.Machines {
		host, err := c.HostUnit(m.ID, f.Name)
		refusal := new(api.Error)
		if errors.As(err, &refusal) && refusal.Code == api.CodeNotFound {
			continue
		}
		if err != nil {
			return true, err
		}
		own, err := units.ParseFile(host.Content)
		if err != nil {
			return true, err
		}
		if first == "" {
			first, at = own.Hash(), m.Label()
		}
		if own.Hash() != first {
			return true, api.Refuse(api.CodeConflict, "make the files equal first",
				"%s is global, and %s and %s have different files of it", f.Name, at, m.Label())
		}
	}
	return true, nil
}
