package schedule

import (
	"strings"

	"fleettop/units"
)

// pattern is one distinct Conflicts= glob. It counts, for each machine, the
// units there that declare it and the units there whose name it matches.
type pattern struct {
	id      int
	glob    string
	prefix  string // what comes before the first special character
	owners  map[int32]int32
	matched map[int32]int32
}

// patterns are the distinct Conflicts= globs of all units.
type patterns struct {
	all   map[string]*pattern
	globs []*pattern // those that aren't plain names
}

func (ps *patterns) intern(glob string) *pattern {
	if p, ok := ps.all[glob]; ok {
		return p
	}
	p := &pattern{id: len(ps.all), glob: glob, owners: map[int32]int32{}, matched: map[int32]int32{}}
	if i := strings.IndexAny(glob, `*?[\`); i >= 0 {
		p.prefix = glob[:i]
		ps.globs = append(ps.globs, p)
	}
	ps.all[glob] = p
	return p
}

// matching returns the patterns that match a name.
func (ps *patterns) matching(name string) []*pattern {
	var list []*pattern
	if p, ok := ps.all[name]; ok && units.MatchGlob(p.glob, name) {
		list = append(list, p)
	}
	for _, p := range ps.globs {
		if p.glob != name && strings.HasPrefix(name, p.prefix) && units.MatchGlob(p.glob, name) {
			list = append(list, p)
		}
	}
	return list
}

func bump(m map[int32]int32, k, by int32) {
	if m[k] += by; m[k] == 0 {
		delete(m, k)
	}
}

// conflict reports whether one unit's Conflicts match the other's name.
func conflict(a, b *unit) bool {
	return matchesAny(a.parsed.req.Conflicts, b.name) || matchesAny(b.parsed.req.Conflicts, a.name)
}

func matchesAny(globs []string, name string) bool {
	for _, g := range globs {
		if units.MatchGlob(g, name) {
			return true
		}
	}
	return false
}
