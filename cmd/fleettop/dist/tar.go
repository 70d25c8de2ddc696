package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"time"
)

// tarOptions say how a tar is written.
type tarOptions struct {
	root  string // before each path, such as "./"
	date  time.Time
	more  func(f file) map[string]string // records of PAX for a file; nil for none
	dirs  bool                           // directories have entries, too
	noEnd bool                           // without the blocks of zeros at the end
}

// makeTar writes files to a tar, all of root's.
func makeTar(files []file, o tarOptions) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	header := func(name string, kind byte, mode fs.FileMode) *tar.Header {
		return &tar.Header{Name: name, Typeflag: kind, Mode: int64(mode), ModTime: o.date, Uname: "root", Gname: "root"}
	}
	if o.dirs {
		if o.root != "" {
			if err := w.WriteHeader(header(o.root, tar.TypeDir, 0o755)); err != nil {
				return nil, err
			}
		}
		for _, dir := range parents(files) {
			if err := w.WriteHeader(header(o.root+dir+"/", tar.TypeDir, 0o755)); err != nil {
				return nil, err
			}
		}
	}
	for _, f := range files {
		h := header(o.root+f.path, tar.TypeReg, f.mode)
		h.Size = int64(len(f.data))
		if o.more != nil {
			h.Format, h.PAXRecords = tar.FormatPAX, o.more(f)
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	finish := w.Close
	if o.noEnd {
		finish = w.Flush
	}
	err := finish()
	return b.Bytes(), err
}

// makeTarball makes a package for any machine, to be unpacked in /usr/local.
func makeTarball(r *release, a arch, v versions, files []file) ([]byte, error) {
	data, err := makeTar(files, tarOptions{root: fmt.Sprintf("fleettop-%s-linux-%s/", v.plain, a.name), date: r.date, dirs: true})
	if err != nil {
		return nil, err
	}
	return packed(data)
}
