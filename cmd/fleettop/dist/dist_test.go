package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if err := os.Chdir("../../.."); err != nil { // where `make dist` runs
		panic(err)
	}
	os.Exit(m.Run())
}

// smallProgram stands for the program: packages of it are made in no time.
func smallProgram(context.Context, *release, arch) (program, error) {
	return program{[]byte("\x7fELF, let us say"), &debug.BuildInfo{GoVersion: "go1.2.3", Deps: []*debug.Module{
		{Path: "example.org/one", Version: "v1.0.0", Sum: "h1:abc="},
		{Path: "example.org/two", Version: "v2.0.0", Replace: &debug.Module{Path: "example.org/other", Version: "v3.0.0"}}}}}, nil
}

// made makes the packages for amd64 and returns them by name.
func made(t *testing.T) map[string][]byte {
	t.Helper()
	a, err := findArch("amd64")
	if err != nil {
		t.Fatal(err)
	}
	r := release{out: t.TempDir(), version: "v1.2.3", commit: "0123456789ab", maintainer: "Packager <packager@fleettop.example>",
		date: time.Unix(1800000000, 0).UTC(), arches: []arch{a}}
	if err := r.make(t.Context(), smallProgram); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	entries, err := os.ReadDir(r.out)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(r.out, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestPackages makes all packages twice, in other circumstances: they are the same
// bytes. Then it reads what is in them.
func TestPackages(t *testing.T) {
	first := made(t)
	t.Setenv("HOME", t.TempDir())
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("TZ", "Asia/Tokyo")
	t.Setenv("FLEETTOP_ENDPOINT", "http://elsewhere.example:1")
	second := made(t)
	want := []string{"SHA256SUMS", "fleettop-1.2.3-1.x86_64.rpm", "fleettop-1.2.3-r0.x86_64.apk", "fleettop_1.2.3_amd64.deb",
		"fleettop_1.2.3_linux_amd64.spdx.json", "fleettop_1.2.3_linux_amd64.tar.gz"}
	if got := slices.Sorted(maps.Keys(first)); !slices.Equal(got, want) {
		t.Fatalf("it made %q, want %q", got, want)
	}
	for _, name := range want {
		if !bytes.Equal(first[name], second[name]) {
			t.Errorf("%s differs, made twice", name)
		}
		if sum := fmt.Sprintf("%x  %s\n", sha256.Sum256(first[name]), name); name != "SHA256SUMS" &&
			!strings.Contains(string(first["SHA256SUMS"]), sum) {
			t.Errorf("SHA256SUMS doesn't have %s", name)
		}
	}
	t.Run("deb", func(t *testing.T) { checkDeb(t, first["fleettop_1.2.3_amd64.deb"]) })
	t.Run("rpm", func(t *testing.T) { checkRPM(t, first["fleettop-1.2.3-1.x86_64.rpm"]) })
	t.Run("apk", func(t *testing.T) { checkAPK(t, first["fleettop-1.2.3-r0.x86_64.apk"]) })
	t.Run("tar.gz", func(t *testing.T) {
		files := untar(t, first["fleettop_1.2.3_linux_amd64.tar.gz"])
		service := files["fleettop-1.2.3-linux-amd64/lib/systemd/system/fleettop.service"]
		if !strings.Contains(service, "ExecStart=/usr/local/bin/fleettop daemon") {
			t.Errorf("its service is %q", service)
		}
	})
	t.Run("spdx", func(t *testing.T) { checkBill(t, first["fleettop_1.2.3_linux_amd64.spdx.json"]) })
}

// installedFiles are some that each package must have.
var installedFiles = []string{"usr/bin/fleettop", "usr/lib/systemd/system/fleettop.service", "usr/lib/sysusers.d/fleettop.conf",
	"usr/share/man/man1/fleettop.1.gz", "usr/share/man/man1/fleettop-key-generate.1.gz", "usr/share/man/man5/fleettop-unit.5.gz",
	"usr/share/man/man5/fleettop.env.5.gz", "usr/share/bash-completion/completions/fleettop",
	"usr/share/fish/vendor_completions.d/fleettop.fish", "usr/share/doc/fleettop/examples/fleettop.env"}

func checkDeb(t *testing.T, deb []byte) {
	rest, ok := bytes.CutPrefix(deb, []byte("!<arch>\n"))
	if !ok {
		t.Fatal("it is no ar")
	}
	members := map[string][]byte{}
	for len(rest) > 0 {
		var size int
		if _, err := fmt.Sscan(string(rest[48:58]), &size); err != nil {
			t.Fatal(err)
		}
		members[strings.TrimSpace(string(rest[:16]))] = rest[60 : 60+size]
		rest = rest[60+size+size%2:]
	}
	control, data := untar(t, members["control.tar.gz"]), untar(t, members["data.tar.gz"])
	for _, text := range []string{"Package: fleettop\n", "Version: 1.2.3\n", "Architecture: amd64\n"} {
		if !strings.Contains(control["./control"], text) {
			t.Errorf("its control file has no %q:\n%s", text, control["./control"])
		}
	}
	for _, name := range slices.Concat(installedFiles, []string{"usr/share/zsh/vendor-completions/_fleettop",
		"usr/share/doc/fleettop/changelog.gz", "usr/share/doc/fleettop/copyright"}) {
		if data["./"+name] == "" {
			t.Errorf("it has no %s", name)
		}
		if !strings.Contains(control["./md5sums"], name+"\n") {
			t.Errorf("it has no sum of %s", name)
		}
	}
	if service := data["./usr/lib/systemd/system/fleettop.service"]; !strings.Contains(service, "ExecStart=/usr/bin/fleettop daemon") {
		t.Errorf("its service is %s", service)
	}
	for name := range debScripts {
		checkScript(t, name, control["./"+name])
	}
}

func checkRPM(t *testing.T, rpm []byte) {
	if !bytes.HasPrefix(rpm, []byte{0xed, 0xab, 0xee, 0xdb}) {
		t.Error("it is no package of rpm's")
	}
	for name, text := range map[string]string{"post": rpmScripts.post, "preun": rpmScripts.preun, "postun": rpmScripts.postun} {
		checkScript(t, name, text)
	}
	if _, err := exec.LookPath("rpm"); err != nil {
		t.Log("rpm isn't installed: not checked with it")
		return
	}
	path := filepath.Join(t.TempDir(), "fleettop.rpm")
	if err := os.WriteFile(path, rpm, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("rpm", "-qp", "--info", "--list", "--scripts", path).CombinedOutput()
	if err != nil {
		t.Fatalf("rpm: %v\n%s", err, out)
	}
	for _, text := range slices.Concat(installedFiles, []string{"Version     : 1.2.3", "Architecture: x86_64", "preuninstall"}) {
		if !strings.Contains(string(out), text) {
			t.Errorf("it has no %q:\n%s", text, out)
		}
	}
	if out, err := exec.Command("rpm", "--checksig", "--nosignature", path).CombinedOutput(); err != nil {
		t.Errorf("rpm: %v\n%s", err, out)
	}
}

func checkAPK(t *testing.T, apk []byte) {
	// The second of the two compressed parts is what datahash is of.
	in := bytes.NewReader(apk)
	unpack, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	unpack.Multistream(false)
	control, err := io.ReadAll(unpack)
	if err != nil {
		t.Fatal(err)
	}
	data := apk[len(apk)-in.Len():]
	if hash := fmt.Sprintf("datahash = %x\n", sha256.Sum256(data)); !strings.Contains(string(control), hash) {
		t.Errorf("its .PKGINFO doesn't have %s", hash)
	}
	files := untar(t, apk) // both parts are one tar
	for _, text := range []string{"pkgname = fleettop\n", "pkgver = 1.2.3-r0\n", "arch = x86_64\n"} {
		if !strings.Contains(files[".PKGINFO"], text) {
			t.Errorf("its .PKGINFO has no %q:\n%s", text, files[".PKGINFO"])
		}
	}
	for _, name := range installedFiles {
		if files[name] == "" {
			t.Errorf("it has no %s", name)
		}
	}
	for _, s := range apkScripts {
		checkScript(t, s.path, files[s.path])
	}
}

func checkBill(t *testing.T, data []byte) {
	var doc spdxDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{doc.ID: true}
	var names []string
	for _, p := range doc.Packages {
		if ids[p.ID] {
			t.Errorf("%s stands for two packages", p.ID)
		}
		ids[p.ID] = true
		names = append(names, p.Name)
	}
	for _, want := range []string{"fleettop", "stdlib", "example.org/one", "example.org/other"} {
		if !slices.Contains(names, want) {
			t.Errorf("it doesn't list %s: %q", want, names)
		}
	}
	for _, r := range doc.Relationships {
		if !ids[r.Element] || !ids[r.Related] {
			t.Errorf("%+v is about a package that it doesn't have", r)
		}
	}
	if doc.Creation.Created != "2027-01-15T08:00:00Z" {
		t.Errorf("it says it was made at %s", doc.Creation.Created)
	}
}

// checkScript has the shell parse a script.
func checkScript(t *testing.T, name, text string) {
	t.Helper()
	cmd := exec.Command("sh", "-n")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(text, "#!/bin/sh\n") {
		t.Errorf("the script %s: %v: %s", name, err, out)
	}
}

// untar returns the files in a compressed tar, all of which are root's and of one time.
func untar(t *testing.T, data []byte) map[string]string {
	t.Helper()
	unpack, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for in := tar.NewReader(unpack); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 1800000000 {
			t.Errorf("%s is of %d:%d and %s", h.Name, h.Uid, h.Gid, h.ModTime)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(content)
	}
}

func TestVersionsOf(t *testing.T) {
	date := time.Unix(1800000000, 0)
	for _, tt := range []struct {
		version string
		want    versions
	}{
		{"v1.2.3", versions{"1.2.3", "1.2.3", "1.2.3", "1.2.3"}},
		{"v1.2.3-4-gabc1234", versions{"1.2.3+git20270115080000.abc1234", "1.2.3+git20270115080000.abc1234",
			"1.2.3+git20270115080000.abc1234", "1.2.3_p20270115080000"}},
		{"v1.2.3-dirty", versions{"1.2.3+git20270115080000.dirty", "1.2.3+git20270115080000.dirty",
			"1.2.3+git20270115080000.dirty", "1.2.3_p20270115080000"}},
		{"abc1234-dirty", versions{"0.0.0+git20270115080000.abc1234.dirty", "0.0.0+git20270115080000.abc1234.dirty",
			"0.0.0+git20270115080000.abc1234.dirty", "0.0.0_git20270115080000"}},
	} {
		if got := versionsOf(tt.version, date); got != tt.want {
			t.Errorf("versionsOf(%q) = %+v, want %+v", tt.version, got, tt.want)
		}
	}
}

// TestWrongArguments: each is refused with a sentence.
func TestWrongArguments(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "give -version"},
		{[]string{"-version", "1", "-arches", "sparc"}, "choose from amd64, arm64, armv7, riscv64"},
		{[]string{"-version", "1", "-arches", " , "}, "names none"},
	} {
		if err := run(t.Context(), tt.args); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.args, err, tt.want)
		}
	}
}
