package units

import (
	"slices"
	"strings"
)

// apart are pairs of options that can't be used together, and why.
var apart = []struct{ a, b, why string }{
	{optGlobal, optMachineID, "a global unit runs on every machine that fits: to choose machines use MachineMetadata"},
	{optGlobal, optMachineOf, "a global unit runs on every machine that fits: to choose machines use MachineMetadata"},
	{optGlobal, optReplaces, "a global unit runs on every machine that fits and replaces no unit: remove one of the two"},
	{optMachineID, optMachineOf, "each of them alone decides on the machine: remove one of the two"},
	{optMachineID, optConflicts, "there is only one machine: remove one of the two, or choose machines with MachineMetadata"},
	{optMachineID, optReplaces, "the unit itself has nowhere else to go: remove one of the two"},
	{optGlobal, optExclusive, "a global unit runs on every machine that fits, an exclusive one never on two: remove one of the two"},
	{optExclusive, optIsolation, "an exclusive unit is always stopped by its machine's fence: remove " + optIsolation},
	{optConflicts, optReplaces, "one avoids a unit and the other replaces it: remove one of the two"},
}

// check refuses requirements that can't be met together.
func (c *collector) check() error {
	for _, p := range apart {
		la, lb := c.lines[p.a], c.lines[p.b]
		if la == 0 || lb == 0 {
			continue
		}
		a, b := p.a, p.b
		if la > lb {
			la, lb, a, b = lb, la, b, a
		}
		return fileErrorf(lb, "%s can't be used with %s (line %d): %s", b, a, la, p.why)
	}
	if line := c.lines[optReschedule]; c.req.Reschedule {
		switch {
		case c.req.Global:
			return fileErrorf(line, "%s=on-failure can't be used with Global=true: a global unit runs on every machine that fits, "+
				"and has no other to be tried on", optReschedule)
		case len(c.req.MachineOf) > 0:
			return fileErrorf(line, "%s=on-failure can't be used with MachineOf: the unit stays with the other one, "+
				"and has no other machine to be tried on", optReschedule)
		}
	}
	switch line := c.lines[optTimeout]; {
	case !c.req.StopWhenIsolated && line > 0:
		return fileErrorf(line, "%s is the time for %s=stop, which the file doesn't have: add it, or remove the line",
			optTimeout, optIsolation)
	case c.req.StopWhenIsolated && line == 0:
		c.req.IsolationTimeout = DefaultIsolationTimeout
	}
	for _, peer := range c.req.MachineOf {
		i := slices.IndexFunc(c.req.Conflicts, func(p string) bool { return MatchGlob(p, peer) })
		if i >= 0 {
			return c.torn(peer, optConflicts, c.req.Conflicts[i])
		}
		i = slices.IndexFunc(c.req.Replaces, func(p string) bool { return MatchGlob(p, peer) })
		if i >= 0 {
			return c.torn(peer, optReplaces, c.req.Replaces[i])
		}
	}
	return nil
}

// torn is the error for a unit that must be both with another unit and away from it.
func (c *collector) torn(peer, option, pattern string) error {
	return fileErrorf(max(c.lines[optMachineOf], c.lines[option]),
		"MachineOf=%s asks for the machine that %s=%s keeps the unit away from: remove one of the two", peer, option, pattern)
}

// unknownOption is the error for an option of [X-Fleet] that isn't known.
func unknownOption(o Option) error {
	names, old := fleetOptionNames()
	known := names
	if strings.HasPrefix(o.Name, "X-") {
		known = slices.Concat(names, old)
	}
	return fileErrorf(o.Line, "%s is no option of [X-Fleet]: did you mean %s? Known are %s",
		o.Name, nearest(o.Name, known), andList(names))
}

// fleetOptionNames returns the names of the options of [X-Fleet], and their old ones.
func fleetOptionNames() (names, old []string) {
	for _, o := range fleetOptions {
		names = append(names, o.Name)
		if o.Old != "" {
			old = append(old, o.Old)
		}
	}
	return names, old
}

// nearest returns the known word with the fewest edits from a word, ignoring
// case; the first of several.
func nearest(word string, known []string) string {
	best, least := "", -1
	for _, k := range known {
		d := distance(strings.ToLower(word), strings.ToLower(k))
		if least < 0 || d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance between two words, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d++
			}
			diagonal = row[j+1]
			row[j+1] = min(d, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
