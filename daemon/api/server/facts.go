package server

import (
	"strings"
	"sync"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/units"
)

// facts is what a unit's file says that the API tells or decides by.
type facts struct {
	hash        string
	description string
	global      bool
	once        bool     // it runs and ends
	reschedule  bool     // it is tried on another machine when it fails
	replaces    []string // globs
}

// mostFacts is how many units' facts each half of a unitCache holds.
const mostCached = 16 << 10

// unitCache remembers facts by unit, as files are parsed once and listed often.
// What was not asked for while as many others were is forgotten.
type unitCache struct {
	mu         sync.Mutex // guards all below
	known, old map[string]facts
}

func newUnitCache() *unitCache { return &unitCache{known: map[string]facts{}} }

// of returns the facts of a unit. A unit that can't be parsed has none.
func (b *unitCache) of(u cluster.Unit) facts {
	b.mu.Lock()
	defer b.mu.Unlock()
	f, ok := b.known[u.Name]
	if ok && f.hash == u.Hash {
		return f
	}
	if f, ok = b.old[u.Name]; !ok || f.hash != u.Hash {
		f = readFacts(u)
	}
	if len(b.known) >= mostCached {
		b.known, b.old = map[string]facts{}, b.known
	}
	b.known[u.Name] = f
	return f
}

func readFacts(u cluster.Unit) facts {
	out := facts{hash: u.Hash}
	file, err := units.ParseFile(u.Content)
	if err != nil {
		return out
	}
	out.description = file.Description()
	if n, err := units.ParseName(u.Name); err == nil {
		out.description = file.DescriptionOf(n)
		if r, err := file.Requirements(n); err == nil {
			out.global, out.replaces, out.reschedule = r.Global, r.Replaces, r.Reschedule
		}
		out.once = file.RunsOnce(n)
	}
	return out
}

// refuseCircles fails files that would replace each other in a circle.
func (a *action) refuseCircles(snap *cluster.Snapshot) {
	var suspects []*item
	for _, it := range a.items {
		if !it.settled && it.done.changed && !it.done.destroy && len(a.s.facts.of(it.done.next).replaces) > 0 {
			suspects = append(suspects, it)
		}
	}
	if len(suspects) == 0 {
		return
	}
	replaces := map[string][]string{}
	for name, u := range snap.Units {
		replaces[name] = a.s.facts.of(u).replaces
	}
	for _, it := range a.items {
		if !it.settled {
			replaces[it.name.String()] = a.s.facts.of(it.done.next).replaces
		}
	}
	for _, it := range suspects {
		name := it.name.String()
		if circle := replaceCircle(name, replaces); circle != nil {
			it.fail(api.Refuse(api.CodeInvalid, "take Replaces= out of one of them",
				"%s would replace itself: %s", name, strings.Join(append(circle, name), " replaces ")))
			delete(replaces, name)
		}
	}
}

// replaceCircle returns the units that replace each other in a circle through
// name, or nil. replaces has the globs of each unit.
func replaceCircle(name string, replaces map[string][]string) []string {
	seen := map[string]bool{}
	var visit func(path []string) []string
	visit = func(path []string) []string {
		here := path[len(path)-1]
		for _, pattern := range replaces[here] {
			if units.MatchGlob(pattern, name) {
				return path
			}
			for _, other := range sortedKeys(replaces) {
				if !seen[other] && units.MatchGlob(pattern, other) {
					seen[other] = true
					if found := visit(append(path[:len(path):len(path)], other)); found != nil {
						return found
					}
				}
			}
		}
		return nil
	}
	return visit([]string{name})
}
