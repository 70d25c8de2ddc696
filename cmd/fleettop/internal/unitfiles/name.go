package unitfiles

import (
	"path/filepath"
	"slices"
	"strings"
)

// Types are the types that a unit's name may end in.
var Types = []string{"automount", "busname", "device", "mount", "path", "scope", "service", "slice", "snapshot",
	"socket", "swap", "target", "timer"}

// Name returns the unit that an argument means, as fleet has it: the last part of
// a path, and .service where no type is given. A pattern behind a slash stays as
// it is, for the path to match no unit: the shell found no file for it.
func Name(arg string) string {
	name := arg
	if strings.Contains(arg, "/") && !IsGlob(filepath.Base(arg)) {
		name = filepath.Base(arg)
	}
	if IsGlob(name) || slices.Contains(Types, strings.TrimPrefix(filepath.Ext(name), ".")) {
		return name
	}
	return name + ".service"
}

// Names returns the units that arguments mean.
func Names(args []string) []string {
	names := make([]string, 0, len(args))
	for _, arg := range args {
		names = append(names, Name(arg))
	}
	return names
}

// IsGlob reports whether a text is a pattern for names.
func IsGlob(s string) bool { return strings.ContainsAny(s, "*?[") }
