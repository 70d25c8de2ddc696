package unitfiles

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Types are the types that a unit's name may end in.
var Types = []string{"automount", "busname", "device", "mount", "path", "scope", "service", "slice", "snapshot", "socket", "swap", "target", "timer"}

// Name returns the unit that an argument means, as fleet has it: the base of a file's
// path, and .service where no type is given. A slash that leads to no file
// stays, for the name to be refused.
func Name(arg string) string {
	name := filepath.Base(arg)
	if name != arg && !isFile(arg) {
		name = arg
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

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && !st.IsDir()
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// IsGlob reports whether a text is a pattern for names.
func IsGlob(s string) bool { return strings.ContainsAny(s, "*?[") }
