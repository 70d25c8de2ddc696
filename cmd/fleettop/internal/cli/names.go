package cli

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/units"
)

var unitTypes = []string{"automount", "busname", "device", "mount", "path", "scope", "service", "slice", "snapshot", "socket", "swap", "target", "timer"}

func aboutRunning(v api.Verb) bool {
	return v == api.Load || v == api.Start || v == api.Stop || v == api.Restart || v == api.Unload
}

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
// other names stay as they are. A glob that matches nothing is an error. For
// verbs about what runs, templates match none, as they never run themselves.
func known(ctx context.Context, c *client.Client, verb api.Verb, args []string) ([]string, error) {
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
		before, template := len(out), ""
		for _, u := range list.Units {
			name, err := units.ParseName(u.Name)
			switch {
			case !units.MatchGlob(n, u.Name):
			case err == nil && name.IsTemplate() && aboutRunning(verb):
				template = u.Name
			default:
				out = append(out, u.Name)
			}
		}
		switch {
		case len(out) > before:
		case template != "":
			hint := "name an instance, such as " + strings.Replace(template, "@.", "@1.", 1)
			return nil, api.Refuse(api.CodeNotFound, hint, "only the template %s matches %q", template, n)
		default:
			return nil, api.Refuse(api.CodeNotFound, "`fleettop list-unit-files` shows those there are",
				"no unit matches %q", n)
		}
	}
	return out, nil
}
