package units

import (
	"slices"
	"strings"
)

// Relations are the units that a unit's file names: to order their starts, or
// because systemd starts or stops one with the other.
type Relations struct {
	After  []string // units that start before it, if they start
	Before []string // units that start after it, if they start
	Starts string   // the unit that a socket, timer, path or automount triggers, or ""

	Follows  []string // units with which it is stopped or restarted
	Ends     []string // units that are stopped for it
	Pulls    []string // units that are started with it
	PulledBy []string // units with which it is started
	Binds    []string // units without which it doesn't run
}

// Relations returns the units that the file of a unit named n names, with
// specifiers expanded. Names with specifiers that depend on the machine are left
// out.
func (f *File) Relations(n Name) Relations {
	in := func(section, option string) (all []string) {
		for _, o := range f.settings(section, option) {
			for _, word := range strings.Fields(o.Value) {
				if name, err := expand(word, n); err == nil {
					all = append(all, name)
				}
			}
		}
		return all
	}
	names := func(options ...string) (all []string) {
		for _, o := range options {
			all = append(all, in("Unit", o)...)
		}
		return all
	}
	r := Relations{After: names("After"), Before: names("Before"), Starts: f.starts(n), Binds: names("BindsTo")}
	r.Follows = names("Requires", "Requisite", "BindsTo", "PartOf", "StopPropagatedFrom", "Conflicts")
	r.Ends = names("Conflicts", "PropagatesStopTo")
	r.Pulls = names("Requires", "BindsTo", "Wants", "Upholds", "OnFailure", "OnSuccess")
	r.PulledBy = slices.Concat(in("Install", "WantedBy"), in("Install", "RequiredBy"), in("Install", "UpheldBy"))
	return r
}

// triggers are the unit types that start another unit, with the section and
// option that name it, and the type of the unit of the same name otherwise.
var triggers = map[string]struct{ section, option, kind string }{
	"socket":    {"Socket", "Service", "service"},
	"timer":     {"Timer", "Unit", "service"},
	"path":      {"Path", "Unit", "service"},
	"automount": {kind: "mount"},
}

func (f *File) starts(n Name) string {
	t, known := triggers[n.Type()]
	if !known {
		return ""
	}
	accept, _ := f.last(t.section, "Accept")
	if each, _ := parseBool(accept.Value); each && n.Type() == "socket" {
		return "" // each connection starts an instance of its own
	}
	if named, ok := f.last(t.section, t.option); ok {
		if name, err := expand(named.Value, n); err == nil {
			return name
		}
		return ""
	}
	return n.Base() + "." + t.kind
}
