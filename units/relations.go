package units

import "strings"

// Relations are the other units that a unit's file names for the order in which they start.
type Relations struct {
	After  []string // units that start before it, if they start
	Before []string // units that start after it, if they start
	Starts string   // the unit that a socket, timer, path or automount starts on occasion, or ""
}

// Relations returns what the file of a unit named n says of others, with
// specifiers expanded. Names with specifiers of which only a machine knows the
// value are left out.
func (f *File) Relations(n Name) Relations {
	names := func(option string) (all []string) {
		for _, o := range f.settings("Unit", option) {
			for _, word := range strings.Fields(o.Value) {
				if name, err := expand(word, n); err == nil {
					all = append(all, name)
				}
			}
		}
		return all
	}
	return Relations{After: names("After"), Before: names("Before"), Starts: f.starts(n)}
}

// triggers are the types of units that start another one, with the section and
// option that name it; else it has their base name and this type.
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
		return "" // an instance of its own for each connection
	}
	if named, ok := f.last(t.section, t.option); ok {
		if name, err := expand(named.Value, n); err == nil {
			return name
		}
		return ""
	}
	return n.Base() + "." + t.kind
}
