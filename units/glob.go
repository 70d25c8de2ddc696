package units

import "path"

// MatchGlob reports whether a unit name matches a pattern of Conflicts= or
// Replaces=, or one given on a command line: * is any run of characters, ? any
// one, [a-c] one of a set, as in path.Match. A malformed pattern matches nothing.
func MatchGlob(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// validGlob reports whether a pattern is well formed.
func validGlob(pattern string) bool {
	_, err := path.Match(pattern, "")
	return err == nil
}
