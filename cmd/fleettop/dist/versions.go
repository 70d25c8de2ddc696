package main

import (
	"fmt"
	"regexp"
	"time"
)

// versions are a version in the words of each package format, where a later
// commit is a higher version.
type versions struct {
	plain string // for the names of files
	deb   string
	rpm   string
	apk   string
}

// described is what `git describe` prints: a tag, how many commits are behind it,
// and whether files were changed.
var described = regexp.MustCompile(`^v?(\d+(?:\.\d+)*)(?:-(\d+)-g([0-9a-f]+))?(-dirty)?$`)

// versionsOf returns the versions of packages. Without a tag they are of the
// commit's time.
func versionsOf(version string, date time.Time) versions {
	at := date.UTC().Format("20060102150405")
	m := described.FindStringSubmatch(version)
	if m == nil {
		id := regexp.MustCompile(`[^0-9A-Za-z]+`).ReplaceAllString(version, ".")
		v := fmt.Sprintf("0.0.0+git%s.%s", at, id)
		return versions{plain: v, deb: v, rpm: v, apk: "0.0.0_git" + at}
	}
	v := versions{plain: m[1], deb: m[1], rpm: m[1], apk: m[1]}
	if m[2] != "" || m[4] != "" { // later than the tag
		more := "+git" + at
		if m[3] != "" {
			more += "." + m[3]
		}
		if m[4] != "" {
			more += ".dirty"
		}
		v = versions{plain: m[1] + more, deb: m[1] + more, rpm: m[1] + more, apk: m[1] + "_p" + at}
	}
	return v
}
