package units

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxNameLength is systemd's limit, in bytes.
const maxNameLength = 255

// MaxNameLength is the limit for names of units that run, in bytes. The rest of
// systemd's 255 bytes is for files named after the unit: the longest is
// NAME.log.index.new; systemd itself has invocation:NAME and NAME.requires.
const MaxNameLength = 240

// unitTypes are the types fleet and systemd know, sorted.
var unitTypes = []string{
	"automount", "busname", "device", "mount", "path", "scope", "service",
	"slice", "snapshot", "socket", "swap", "target", "timer",
}

// runnableTypes are the types that a machine can run, and templateTypes the
// types that may be templates, sorted.
var (
	runnableTypes = []string{"automount", "mount", "path", "service", "socket", "target", "timer"}
	templateTypes = []string{"path", "service", "socket", "target", "timer"}
)

// Name is a valid unit name. Names are comparable. The zero Name means no name.
type Name struct {
	full string
	at   int // index of the first @, or of the last dot if there is none
	dot  int // index of the last dot
}

// ParseName parses a full unit name, such as web.service, web@.service or
// web@1.service, by the rules that fleet and systemd share. It accepts all of
// systemd's unit types; Validate accepts those that can be run. The error
// quotes the name, says what is wrong with it, and what to do.
func ParseName(s string) (Name, error) {
	switch {
	case s == "":
		return Name{}, errors.New("the unit name is empty: give one such as web.service")
	case len(s) > maxNameLength:
		return Name{}, fmt.Errorf("unit name %q… is %d bytes long: "+
			"shorten it to at most %d", cut(s, 24), len(s), maxNameLength)
	}
	for i := range len(s) {
		if !nameByte(s[i]) {
			return Name{}, badCharacter(s, i)
		}
	}

	dot := strings.LastIndexByte(s, '.')
	switch {
	case dot < 0:
		return Name{}, fmt.Errorf("unit name %q has no type: add one, as in %s.service", s, s)
	case dot == len(s)-1:
		return Name{}, fmt.Errorf("unit name %q ends in a dot: add a type, as in %sservice", s, s)
	case dot == 0:
		return Name{}, fmt.Errorf("unit name %q has nothing before its type: put a name there, as in web%s", s, s)
	}
	kind := s[dot+1:]
	if _, ok := slices.BinarySearch(unitTypes, kind); !ok {
		dropIn := ""
		if kind == "conf" || kind == "d" {
			dropIn = "; a drop-in doesn't travel with its unit: write its settings into the unit file itself"
		}
		return Name{}, fmt.Errorf("unit name %q ends in .%s, which is no unit type: add or choose one of %s%s",
			s, kind, orList(runnableTypes), dropIn)
	}

	at := strings.IndexByte(s[:dot], '@')
	switch {
	case at == 0:
		return Name{}, fmt.Errorf("unit name %q has nothing before the @: put the template's name there, as in web%s", s, s)
	case at < 0:
		return Name{full: s, at: dot, dot: dot}, nil
	}
	if _, ok := slices.BinarySearch(templateTypes, kind); !ok {
		return Name{}, fmt.Errorf("unit name %q: a %s unit can't be a template or an instance: "+
			"drop the @, or choose one of %s",
			s, kind, orList(templateTypes))
	}
	return Name{full: s, at: at, dot: dot}, nil
}

// nameByte reports whether systemd allows a byte in a unit name.
func nameByte(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	default:
		return c == ':' || c == '-' || c == '_' || c == '.' || c == '\\' || c == '@'
	}
}

// badCharacter is the error for a name with a forbidden character at byte i.
func badCharacter(s string, i int) error {
	const allowed = "use letters, digits and any of : - _ . \\ @"
	switch s[i] {
	case '/':
		return fmt.Errorf("unit name %q has a slash in it: "+
			"give the name alone, such as %s, and the file elsewhere", s, baseHint(s))
	case ' ', '\t', '\n', '\r':
		return fmt.Errorf("unit name %q has a space in it: %s", s, allowed)
	}
	for _, r := range s[i:] {
		return fmt.Errorf("unit name %q has the character %q in it: %s", s, r, allowed)
	}
	return nil
}

// baseHint returns the unit name that a path probably stands for.
func baseHint(s string) string {
	base := s[strings.LastIndexByte(s, '/')+1:]
	if _, err := ParseName(base); err != nil {
		return "web.service"
	}
	return base
}

// String returns the full name: web@1.service. It is the specifier %n.
func (n Name) String() string { return n.full }

// Base returns the name without its type: web@1. It is the specifier %N.
func (n Name) Base() string { return n.full[:n.dot] }

// Prefix returns the part before the @, or before the type if there is no @:
// web. It is the specifier %p.
func (n Name) Prefix() string { return n.full[:n.at] }

// Instance returns the part between the @ and the type: 1. It is the specifier
// %i, and empty for templates and for names without an @.
func (n Name) Instance() string {
	if n.at == n.dot {
		return ""
	}
	return n.full[n.at+1 : n.dot]
}

// Type returns the unit's type: service.
func (n Name) Type() string {
	if n.full == "" {
		return ""
	}
	return n.full[n.dot+1:]
}

// IsTemplate reports whether this is the name of a template: web@.service.
func (n Name) IsTemplate() bool { return n.at < n.dot && n.at == n.dot-1 }

// IsInstance reports whether this is the name of a template's instance: web@1.service.
func (n Name) IsInstance() bool { return n.at < n.dot-1 }

// Template returns the name of an instance's template, web@.service, and ""
// for any other name.
func (n Name) Template() string {
	if !n.IsInstance() {
		return ""
	}
	return n.full[:n.at+1] + n.full[n.dot:]
}

// cut returns at most the first limit bytes of s, without an incomplete character at the end.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "")
}

// orList joins words: a, b or c.
func orList(words []string) string { return join(words, " or ") }

// andList joins words: a, b and c.
func andList(words []string) string { return join(words, " and ") }

func join(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	end := len(words) - 1
	return strings.Join(words[:end], ", ") + last + words[end]
}
