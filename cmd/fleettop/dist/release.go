package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"fleettop/cmd/fleettop/internal/manual"
)

// release is what is made at once: all packages of one commit.
type release struct {
	out     string // the folder for the packages
	version string // as the program says it
	commit  string
	date    time.Time // of the commit; all files have it
	// maintainer is who made the packages: Name <address>.
	maintainer string
	arches     []arch
}

func (r *release) edition() manual.Edition { return manual.Edition{Version: r.version, Date: r.date} }

// arch is an architecture, by the names that others give it.
type arch struct {
	name, goarch, goarm, deb, rpm, apk string
}

var allArches = []arch{
	{name: "amd64", goarch: "amd64", deb: "amd64", rpm: "x86_64", apk: "x86_64"},
	{name: "arm64", goarch: "arm64", deb: "arm64", rpm: "aarch64", apk: "aarch64"},
	{name: "armv7", goarch: "arm", goarm: "7", deb: "armhf", rpm: "armv7hl", apk: "armv7"},
	{name: "riscv64", goarch: "riscv64", deb: "riscv64", rpm: "riscv64", apk: "riscv64"},
}

func archNames() []string {
	var names []string
	for _, a := range allArches {
		names = append(names, a.name)
	}
	return names
}

func findArch(name string) (arch, error) {
	i := slices.IndexFunc(allArches, func(a arch) bool { return a.name == name })
	if i < 0 {
		return arch{}, fmt.Errorf("unknown architecture %q: choose from %s", name, strings.Join(archNames(), ", "))
	}
	return allArches[i], nil
}

// program is what a package is about, and what Go says of how it was built.
type program struct {
	binary []byte
	info   *debug.BuildInfo
}

// builder builds the program for an architecture.
type builder func(ctx context.Context, r *release, a arch) (program, error)

// make makes the packages of all architectures, and SHA256SUMS. It stops at the first error.
func (r *release) make(ctx context.Context, build builder) error {
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, a := range r.arches {
		p, err := build(ctx, r, a)
		if err != nil {
			return fmt.Errorf("build for %s: %w", a.name, err)
		}
		made, err := r.packagesOf(a, p)
		if err != nil {
			return fmt.Errorf("package for %s: %w", a.name, err)
		}
		for _, m := range made {
			if err := os.WriteFile(filepath.Join(r.out, m.name), m.data, 0o644); err != nil {
				return err
			}
			fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(m.data), m.name)
			fmt.Printf("%7.1f MiB  %s\n", float64(len(m.data))/(1<<20), filepath.Join(r.out, m.name))
		}
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), sums.Bytes(), 0o644)
}

// artifact is a file that is made for others.
type artifact struct {
	name string
	data []byte
}

// packagesOf makes all packages of an architecture.
func (r *release) packagesOf(a arch, p program) ([]artifact, error) {
	v := versionsOf(r.version, r.date)
	bill, err := billOfMaterials(r, a, p)
	if err != nil {
		return nil, err
	}
	made := []artifact{{fmt.Sprintf("fleettop_%s_linux_%s.spdx.json", v.plain, a.name), bill}}
	for _, format := range []struct {
		name string
		dirs dirs
		make func(*release, arch, versions, []file) ([]byte, error)
	}{
		{fmt.Sprintf("fleettop_%s_%s.deb", v.deb, a.deb), debDirs, makeDeb},
		{fmt.Sprintf("fleettop-%s-1.%s.rpm", v.rpm, a.rpm), rpmDirs, makeRPM},
		{fmt.Sprintf("fleettop-%s-r0.%s.apk", v.apk, a.apk), rpmDirs, makeAPK},
		{fmt.Sprintf("fleettop_%s_linux_%s.tar.gz", v.plain, a.name), siteDirs, makeTarball},
	} {
		files, err := packageFiles(r.edition(), format.dirs, p.binary)
		if err != nil {
			return nil, err
		}
		data, err := format.make(r, a, v, files)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", format.name, err)
		}
		made = append(made, artifact{format.name, data})
	}
	return made, nil
}

// buildProgram builds the program as `make build` does. Nothing of where it is
// built gets into it.
func buildProgram(ctx context.Context, r *release, a arch) (p program, err error) {
	work, err := os.MkdirTemp("", "fleettop-dist-")
	if err != nil {
		return p, err
	}
	defer os.RemoveAll(work)
	path := filepath.Join(work, "fleettop")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", path,
		"-ldflags", "-s -w -X main.version="+r.version+" -X main.commit="+r.commit, "./cmd/fleettop")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+a.goarch, "GOARM="+a.goarm,
		"GOAMD64=v1", "GOARM64=v8.0", "GORISCV64=rva20u64", "GOFLAGS=-mod=readonly", "GOEXPERIMENT=")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return p, err
	}
	if p.info, err = buildinfo.ReadFile(path); err != nil {
		return p, err
	}
	p.binary, err = os.ReadFile(path)
	return p, err
}
