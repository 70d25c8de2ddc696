package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"fleettop/cmd/fleettop/internal/cli"
	"fleettop/cmd/fleettop/internal/manual"
)

// file is a file of a package.
type file struct {
	path string // without a slash before it
	data []byte
	mode fs.FileMode
	doc  bool // it is documentation
}

// dirs are where things belong, without a slash before them.
type dirs struct {
	prefix       string // of all that follows, such as usr
	bin, systemd string
	sysusers     string
	zsh          string
	program      string // the path of the program in the service file
}

// Where Debian, distributions with rpm or apk, and machines' administrators have things.
var (
	debDirs = dirs{prefix: "usr", bin: "bin", systemd: "lib/systemd/system", sysusers: "lib/sysusers.d",
		zsh: "share/zsh/vendor-completions", program: "/usr/bin/fleettop"}
	rpmDirs = dirs{prefix: "usr", bin: "bin", systemd: "lib/systemd/system", sysusers: "lib/sysusers.d",
		zsh: "share/zsh/site-functions", program: "/usr/bin/fleettop"}
	siteDirs = dirs{bin: "bin", systemd: "lib/systemd/system", sysusers: "lib/sysusers.d",
		zsh: "share/zsh/site-functions", program: "/usr/local/bin/fleettop"}
)

// docDir is where documents are, below the prefix.
const docDir = "share/doc/fleettop"

// packageFiles returns the files of a package, sorted by path. It reads the
// repository's, of which the current directory must be the top.
func packageFiles(e manual.Edition, d dirs, binary []byte) ([]file, error) {
	service, err := os.ReadFile("daemon/fleettop.service")
	if err != nil {
		return nil, fmt.Errorf("run it at the top of the repository: %w", err)
	}
	const built = "/usr/local/bin/fleettop"
	if !bytes.Contains(service, []byte(built)) {
		return nil, fmt.Errorf("daemon/fleettop.service doesn't name %s", built)
	}
	sysusers, err := os.ReadFile("daemon/sysusers.conf")
	if err != nil {
		return nil, err
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		return nil, err
	}
	license, err := os.ReadFile("LICENSE")
	if err != nil {
		return nil, err
	}
	files := []file{
		{path: d.bin + "/fleettop", data: binary, mode: 0o755},
		{path: d.systemd + "/fleettop.service", data: bytes.ReplaceAll(service, []byte(built), []byte(d.program)), mode: 0o644},
		{path: d.sysusers + "/fleettop.conf", data: sysusers, mode: 0o644},
		{path: docDir + "/README.md", data: readme, mode: 0o644, doc: true},
		{path: docDir + "/LICENSE", data: license, mode: 0o644, doc: true},
		{path: docDir + "/examples/fleettop.env", data: manual.Example, mode: 0o644, doc: true},
	}
	shared, err := sharedFiles(e, d)
	if err != nil {
		return nil, err
	}
	for _, f := range shared {
		f.path = "share/" + f.path
		files = append(files, f)
	}
	for i := range files {
		files[i].path = path.Join(d.prefix, files[i].path)
	}
	return sortFiles(files), nil
}

// sharedFiles returns manual pages and completions, below share.
func sharedFiles(e manual.Edition, d dirs) ([]file, error) {
	pages := manual.Pages(e)
	var files []file
	for _, name := range manual.Paths(pages) {
		packed, err := packed(pages[name])
		if err != nil {
			return nil, err
		}
		files = append(files, file{path: "man/" + name + ".gz", data: packed, mode: 0o644, doc: true})
	}
	root := cli.Reference(cli.Build{Version: e.Version})
	var bash, zsh, fish bytes.Buffer
	if err := cmp.Or(root.GenBashCompletionV2(&bash, true), root.GenZshCompletion(&zsh),
		root.GenFishCompletion(&fish, true)); err != nil {
		return nil, err
	}
	return append(files,
		file{path: "bash-completion/completions/fleettop", data: bash.Bytes(), mode: 0o644},
		file{path: strings.TrimPrefix(d.zsh, "share/") + "/_fleettop", data: zsh.Bytes(), mode: 0o644},
		file{path: "fish/vendor_completions.d/fleettop.fish", data: fish.Bytes(), mode: 0o644},
	), nil
}

func sortFiles(files []file) []file {
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	return files
}

// parents returns the directories of files, each before what is in it.
func parents(files []file) []string {
	var all []string
	for _, f := range files {
		for dir := path.Dir(f.path); dir != "."; dir = path.Dir(dir) {
			all = append(all, dir)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// packed compresses; the same data give the same bytes.
func packed(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}
