// Package shipped has the themes that come with the console.
package shipped

import (
	"embed"
	"slices"
	"strings"
)

//go:embed *.toml
var files embed.FS

// Read returns the file of a theme; ok is false where there is none of that name.
func Read(name string) (text string, ok bool) {
	raw, err := files.ReadFile(name + ".toml")
	return string(raw), err == nil
}

// Names returns the names of all themes, sorted.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // they are part of the program
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".toml"))
	}
	slices.Sort(names)
	return names
}
