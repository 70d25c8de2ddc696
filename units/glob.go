package units

import "path"

// MatchGlob reports whether a unit name matches a pattern from Conflicts=,
// Replaces= or a command line, with the syntax of path.Match: * matches any
// characters, ? one, [a-c] one of a set. A malformed pattern matches nothing.
func MatchGlob(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// validGlob reports whether a pattern is well formed.
func validGlob(pattern string) bool {
	_, err := path.Match(pattern, "")
	return err == nil
}
