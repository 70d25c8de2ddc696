package main

import (
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// makeAPK makes a package of Alpine's: two compressed tars behind each other,
// what is said of it with its scripts, and its files with their sums. It isn't
// signed: `apk add --allow-untrusted` installs it.
func makeAPK(r *release, a arch, v versions, files []file) ([]byte, error) {
	tar, err := makeTar(files, tarOptions{date: r.date, dirs: true, more: func(f file) map[string]string {
		return map[string]string{"APK-TOOLS.checksum.SHA1": fmt.Sprintf("%x", sha1.Sum(f.data))}
	}})
	if err != nil {
		return nil, err
	}
	data, err := packed(tar)
	if err != nil {
		return nil, err
	}
	size := 0
	for _, f := range files {
		size += len(f.data)
	}
	var info strings.Builder
	for _, field := range [][2]string{{"pkgname", "fleettop"}, {"pkgver", v.apk + "-r0"}, {"pkgdesc", summary},
		{"builddate", fmt.Sprint(r.date.Unix())}, {"packager", r.maintainer}, {"size", fmt.Sprint(size)},
		{"arch", a.apk}, {"origin", "fleettop"}, {"commit", r.commit}, {"license", "Apache-2.0"},
		{"datahash", fmt.Sprintf("%x", sha256.Sum256(data))}} {
		fmt.Fprintf(&info, "%s = %s\n", field[0], field[1])
	}
	control := slices.Concat([]file{{path: ".PKGINFO", data: []byte(info.String()), mode: 0o644}}, apkScripts)
	tar, err = makeTar(control, tarOptions{date: r.date, noEnd: true}) // the files follow in the same tar
	if err != nil {
		return nil, err
	}
	head, err := packed(tar)
	if err != nil {
		return nil, err
	}
	return append(head, data...), nil
}
