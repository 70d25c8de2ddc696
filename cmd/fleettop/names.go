package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fleettop/daemon/api"
	"fleettop/units"
)

var unitTypes = []string{"automount", "busname", "device", "mount", "path", "scope", "service", "slice", "snapshot", "socket", "swap", "target", "timer"}

// unitName is the unit an argument means, as fleet has it: the base of a file's
// path, and .service where no type is given. A slash that leads to no file
// stays, for the name to be refused.
func unitName(arg string) string {
	name := filepath.Base(arg)
	if name != arg && !isFile(arg) {
		name = arg
	}
	if isGlob(name) || slices.Contains(unitTypes, strings.TrimPrefix(filepath.Ext(name), ".")) {
		return name
	}
	return name + ".service"
}

func unitNames(args []string) []string {
	names := make([]string, 0, len(args))
	for _, arg := range args {
		names = append(names, unitName(arg))
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

func isGlob(s string) bool { return strings.ContainsAny(s, "*?[") }

// known replaces globs by the units the cluster knows that match, sorted;
// other names stay as they are. A glob that matches nothing is an error.
func known(ctx context.Context, c *api.Client, args []string) ([]string, error) {
	names := unitNames(args)
	var globs []string
	for _, n := range names {
		if isGlob(n) {
			globs = append(globs, n)
		}
	}
	if len(globs) == 0 {
		return names, nil
	}
	list, err := c.Units(ctx, false, globs...)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, n := range names {
		if !isGlob(n) {
			out = append(out, n)
			continue
		}
		before := len(out)
		for _, u := range list.Units {
			if units.MatchGlob(n, u.Name) {
				out = append(out, u.Name)
			}
		}
		if len(out) == before {
			return nil, fmt.Errorf("no unit matches %q: `fleettop list-unit-files` shows those there are", n)
		}
	}
	return out, nil
}
