package cli

import (
	"context"
	"strings"

	"fleettop/cmd/fleettop/internal/unitfiles"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/units"
)

func aboutRunning(v api.Verb) bool {
	return v == api.Load || v == api.Start || v == api.Stop || v == api.Restart || v == api.Unload
}

// known replaces globs by the units the cluster knows that match, sorted;
// other names stay as they are. A glob that matches nothing is an error. For
// verbs about what runs, templates match none, as they never run themselves.
func known(ctx context.Context, c *client.Client, verb api.Verb, args []string) ([]string, error) {
	names := unitfiles.Names(args)
	var globs []string
	for _, n := range names {
		if unitfiles.IsGlob(n) {
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
		if !unitfiles.IsGlob(n) {
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
