// Command dist makes fleettop's packages: deb, rpm, apk and tar.gz for each
// architecture, with sums and a list of what is linked (SPDX). One commit gives
// the same bytes on every machine and at any time. `make dist` runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var r release
	var share, arches string
	var seconds int64
	f := flag.NewFlagSet("dist", flag.ContinueOnError)
	f.StringVar(&r.out, "out", "bin/dist", "the `folder` for the packages, made anew")
	f.StringVar(&r.version, "version", "", "the version as `fleettop version` prints it")
	f.StringVar(&r.commit, "commit", "", "the commit as `fleettop version` prints it")
	f.StringVar(&r.maintainer, "maintainer", "fleettop <packages@fleettop.example>", "who makes the packages: Name <address>")
	f.Int64Var(&seconds, "epoch", 0, "the time of the commit, in seconds since 1970")
	f.StringVar(&arches, "arches", strings.Join(archNames(), ","), "the architectures, with commas or blanks between them")
	f.StringVar(&share, "share", "", "write only manual pages and completions, to this `folder` such as /usr/local/share")
	if err := f.Parse(args); err != nil {
		return err
	}
	if r.version == "" || f.NArg() > 0 {
		return fmt.Errorf("give -version, -commit and -epoch, and no arguments: `make dist` does it")
	}
	r.date = time.Unix(seconds, 0).UTC()
	if share != "" {
		files, err := sharedFiles(r.edition(), siteDirs)
		if err != nil {
			return err
		}
		return writeTree(share, files)
	}
	for _, name := range strings.FieldsFunc(arches, func(c rune) bool { return c == ',' || c == ' ' }) {
		a, err := findArch(name)
		if err != nil {
			return err
		}
		r.arches = append(r.arches, a)
	}
	if len(r.arches) == 0 {
		return fmt.Errorf("-arches names none: choose from %s", strings.Join(archNames(), ", "))
	}
	return r.make(ctx, buildProgram)
}

// writeTree writes files below a folder.
func writeTree(dir string, files []file) error {
	for _, f := range files {
		path := filepath.Join(dir, f.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.data, f.mode); err != nil {
			return err
		}
	}
	return nil
}
