package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/google/rpmpack"
)

// makeRPM makes a package for distributions with rpm.
func makeRPM(r *release, a arch, v versions, files []file) ([]byte, error) {
	recommends := rpmpack.Relations{}
	if err := recommends.Set("systemd >= 245"); err != nil {
		return nil, err
	}
	p, err := rpmpack.NewRPM(rpmpack.RPMMetaData{Name: "fleettop", Version: v.rpm, Release: "1", Arch: a.rpm, OS: "linux",
		Summary: summary, Description: strings.Join(wrapParagraphs(about), "\n\n"), Licence: "Apache-2.0",
		Packager: r.maintainer, Group: "System Environment/Daemons", BuildHost: "localhost", BuildTime: r.date,
		Compressor: "gzip:9", Epoch: rpmpack.NoEpoch, Recommends: recommends})
	if err != nil {
		return nil, err
	}
	p.AddPostin(rpmScripts.post)
	p.AddPreun(rpmScripts.preun)
	p.AddPostun(rpmScripts.postun)
	own := func(name string, mode uint, data []byte, kind rpmpack.FileType) {
		p.AddFile(rpmpack.RPMFile{Name: "/" + name, Body: data, Mode: mode, Owner: "root", Group: "root",
			MTime: uint32(r.date.Unix()), Type: kind})
	}
	own("usr/"+docDir, 0o40755, nil, rpmpack.GenericFile)
	own("usr/"+docDir+"/examples", 0o40755, nil, rpmpack.GenericFile)
	for _, f := range files {
		kind := rpmpack.GenericFile
		if f.doc {
			kind = rpmpack.DocFile
		}
		own(f.path, uint(f.mode)|0o100000, f.data, kind)
	}
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		return nil, fmt.Errorf("write the package: %w", err)
	}
	return b.Bytes(), nil
}

// wrapParagraphs breaks each paragraph into lines.
func wrapParagraphs(texts []string) []string {
	var all []string
	for _, text := range texts {
		all = append(all, strings.Join(wrapped(text, 76), "\n"))
	}
	return all
}
