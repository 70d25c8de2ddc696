package main

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// summary is what all formats say of the package in a line.
const summary = "cluster-wide init system with a terminal console"

// about is the description, in paragraphs.
var about = []string{
	"fleettop places systemd units on the machines of a cluster and runs them by each machine's own systemd. " +
		"When a machine dies, its units run on other machines about a second later.",
	"It is one static program: the daemon of each machine, the command line, and a console for terminals. " +
		"It embeds etcd, and takes the unit files of CoreOS fleet.",
}

// makeDeb makes a package of Debian's: an ar of a version, the control files and the files.
func makeDeb(r *release, a arch, v versions, files []file) ([]byte, error) {
	files, err := debFiles(r, v, files)
	if err != nil {
		return nil, err
	}
	var sums strings.Builder
	size := 0
	for _, f := range files {
		fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(f.data), f.path)
		size += (len(f.data) + 1023) / 1024
	}
	size += len(parents(files))
	control := []file{
		{path: "control", data: []byte(debControl(r, a, v, size)), mode: 0o644},
		{path: "md5sums", data: []byte(sums.String()), mode: 0o644},
	}
	for name, text := range debScripts {
		control = append(control, file{path: name, data: []byte(text), mode: 0o755})
	}
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	member(&b, "debian-binary", []byte("2.0\n"), r.date)
	for _, part := range []struct {
		name  string
		files []file
	}{{"control.tar.gz", sortFiles(control)}, {"data.tar.gz", files}} {
		tar, err := makeTar(part.files, tarOptions{root: "./", date: r.date, dirs: true})
		if err != nil {
			return nil, err
		}
		data, err := packed(tar)
		if err != nil {
			return nil, err
		}
		member(&b, part.name, data, r.date)
	}
	return b.Bytes(), nil
}

// member adds a file to an ar.
func member(b *bytes.Buffer, name string, data []byte, date time.Time) {
	fmt.Fprintf(b, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", name, date.Unix(), 0, 0, 0o100644, len(data))
	b.Write(data)
	if len(data)%2 == 1 {
		b.WriteByte('\n')
	}
}

// debFiles are a package's files as Debian wants them: a changelog, the license by its name.
func debFiles(r *release, v versions, files []file) ([]file, error) {
	doc := path.Join("usr", docDir)
	files = slices.DeleteFunc(slices.Clone(files), func(f file) bool { return f.path == doc+"/LICENSE" })
	changes, err := packed(fmt.Appendf(nil, "fleettop (%s) unstable; urgency=medium\n\n  * Version %s, commit %s.\n\n -- %s  %s\n",
		v.deb, r.version, r.commit, r.maintainer, r.date.Format(time.RFC1123Z)))
	if err != nil {
		return nil, err
	}
	return sortFiles(append(files,
		file{path: doc + "/changelog.gz", data: changes, mode: 0o644},
		file{path: doc + "/copyright", data: []byte(debCopyright), mode: 0o644},
		file{path: "usr/share/lintian/overrides/fleettop", data: []byte(debOverrides), mode: 0o644},
	)), nil
}

func debControl(r *release, a arch, v versions, size int) string {
	var b strings.Builder
	for _, field := range [][2]string{{"Package", "fleettop"}, {"Version", v.deb}, {"Section", "admin"},
		{"Priority", "optional"}, {"Architecture", a.deb}, {"Maintainer", r.maintainer}, {"Installed-Size", fmt.Sprint(size)},
		{"Recommends", "systemd (>= 245)"}, {"Suggests", "openssh-client"}, {"Description", summary}} {
		fmt.Fprintf(&b, "%s: %s\n", field[0], field[1])
	}
	for i, text := range about {
		if i > 0 {
			b.WriteString(" .\n")
		}
		for _, line := range wrapped(text, 76) {
			b.WriteString(" " + line + "\n")
		}
	}
	return b.String()
}

// wrapped breaks a text into lines.
func wrapped(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}

const debCopyright = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: fleettop

Files: *
Copyright: 2026 the authors of fleettop
License: Apache-2.0
 On Debian systems the text of this license, version 2.0 of the Apache
 License, is in /usr/share/common-licenses/Apache-2.0.
Comment:
 The program is linked with Go modules of others; the list of them, with
 their versions, is the SPDX file published with this package.
`

const debOverrides = `# Go links its programs statically; that is what is meant.
fleettop: statically-linked-binary [usr/bin/fleettop]
# Upgrades restart the daemon only where it runs, which deb-systemd-invoke does, too.
fleettop: maintainer-script-calls-systemctl [*]
`
