//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"fleettop/cmd/fleetlab/lab"
)

// containerPackages are the distribution's packages that the machines with
// containers have on top of the host's /usr.
var containerPackages = []string{"podman", "podman-docker", "crun", "netavark", "docker-registry", "busybox-static"}

// containerLayer returns a layer for lab machines with these packages and what
// the host lacks of their dependencies. The host itself is left as it is: apt
// only fetches them, into a folder that later runs find them in.
func containerLayer(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	cache = filepath.Join(cache, "fleettop-e2e", "packages")
	if err := os.MkdirAll(filepath.Join(cache, "partial"), 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Open(cache)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	apt := func(args ...string) ([]byte, error) {
		cmd := exec.Command("apt-get", append([]string{"-qq", "-o", "Dir::Cache::archives=" + cache}, args...)...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
		return cmd.CombinedOutput()
	}
	fetch := append([]string{"install", "--yes", "--download-only", "--no-install-recommends",
		"-o", "Debug::NoLocking=1"}, containerPackages...)
	if out, err := apt(fetch...); err != nil {
		// The lists of packages may be old, or not there yet.
		if out, err := apt("update"); err != nil {
			t.Fatalf("apt-get update: %v\n%s", err, out)
		}
		if again, err := apt(fetch...); err != nil {
			t.Fatalf("fetch %v: %v\n%s\nafter apt-get update:\n%s", containerPackages, err, out, again)
		}
	}
	if out, err := apt("autoclean", "-o", "Debug::NoLocking=1"); err != nil {
		t.Fatalf("remove old packages: %v\n%s", err, out)
	}
	packages, _ := filepath.Glob(filepath.Join(cache, "*.deb")) // the pattern is well-formed
	layer := t.TempDir()
	unpack := exec.Command("/bin/sh", append([]string{"-ec", `cd "$0"
for dir in bin sbin lib lib64; do mkdir -p usr/$dir; ln -s usr/$dir $dir; done
for deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink; done`, layer}, packages...)...)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("unpack %v: %v\n%s", packages, err, out)
	}
	if err := os.WriteFile(filepath.Join(layer, "usr/bin/etcdctl"), []byte(etcdctl), 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(layer, "usr")
}

// etcdctl stands in for etcd's client: it keeps on the machine itself what it is
// given, a file for a key.
const etcdctl = `#!/bin/sh
file=/run/announced$2
case $1 in
set) mkdir -p "${file%/*}" && printf '%s\n' "$3" >"$file" ;;
rm) rm "$file" ;;
*) exit 2 ;;
esac
`

// containerFiles configure podman on a machine whose PID 1 is in a container
// itself: no cgroups and no limits beyond its own. Images called by the names
// that a public registry has come from the registry at this address instead.
func containerFiles(registry string) map[string]string {
	return map[string]string{
		"/etc/containers/nodocker":    "",
		"/etc/containers/policy.json": `{"default": [{"type": "insecureAcceptAnything"}]}` + "\n",
		"/etc/containers/storage.conf": "[storage]\ndriver = \"vfs\"\n" +
			"runroot = \"/run/containers/storage\"\ngraphroot = \"/var/lib/containers/storage\"\n",
		"/etc/containers/registries.conf": "unqualified-search-registries = [\"docker.io\"]\n" +
			"[[registry]]\nlocation = \"docker.io\"\n" +
			"[[registry.mirror]]\nlocation = \"" + registry + "\"\ninsecure = true\n",
		"/etc/containers/containers.conf": "[engine]\nruntime = \"crun\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n" +
			"[containers]\nnetns = \"host\"\ncgroups = \"disabled\"\nkeyring = false\nlog_driver = \"k8s-file\"\n" +
			"default_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\n",
		// Podman needs no daemon; units written for Docker want one.
		"/etc/systemd/system/docker.service": "[Unit]\nDescription=Stands in for Docker\n" +
			"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
	}
}

// newContainerFleet is newFleet with machines that run containers. n1 has a
// registry with these images, and no machine has one of them.
func newContainerFleet(t testing.TB, n int, images map[string]image) *fleet {
	t.Helper()
	f := newFleet(t, n, setup{layers: []string{containerLayer(t)}})
	n1 := f.machines[0]
	registry := n1.IP.String() + ":5000"
	for _, m := range f.machines {
		for path, content := range containerFiles(registry) {
			f.must(m.WriteFile(path, []byte(content), 0o644))
		}
		f.on(m, "systemctl", "daemon-reload")
	}
	f.must(n1.WriteFile("/etc/registry.yml", []byte("version: 0.1\nhttp: {addr: \":5000\"}\n"+
		"storage: {filesystem: {rootdirectory: /var/lib/registry}}\n"), 0o644))
	f.on(n1, "systemd-run", "--unit=systemd-registry", "docker-registry", "serve", "/etc/registry.yml")
	f.eventually("the registry to answer", soon, func() error {
		conn, err := f.lab.Dial(f.ctx, "tcp", registry)
		if err == nil {
			conn.Close()
		}
		return err
	})
	for name, files := range images {
		f.must(n1.WriteFile("/root/image.tar", files.tar(f, n1), 0o644))
		f.on(n1, "podman", "import", "--quiet", "/root/image.tar", name)
		f.on(n1, "podman", "push", "--quiet", "--tls-verify=false", name, registry+"/"+name)
		f.on(n1, "podman", "rmi", "--all", "--force")
	}
	return f
}

// image is busybox with files of its own: programs, by their paths.
type image map[string]string

// tar returns the image's file system; busybox comes from the machine's layer.
func (i image) tar(f *fleet, m *lab.Machine) []byte {
	f.t.Helper()
	busybox, err := m.ReadFile("/usr/bin/busybox")
	f.must(err)
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	add := func(name string, h tar.Header, content []byte) {
		h.Name, h.Size = name, int64(len(content))
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		f.must(w.WriteHeader(&h))
		_, err := w.Write(content)
		f.must(err)
	}
	for _, dir := range []string{"bin/", "sbin/", "usr/", "usr/sbin/", "tmp/", "etc/"} {
		add(dir, tar.Header{Typeflag: tar.TypeDir}, nil)
	}
	add("bin/busybox", tar.Header{Typeflag: tar.TypeReg}, busybox)
	for _, name := range strings.Fields(f.on(m, "busybox", "--list")) {
		if name != "busybox" {
			add("bin/"+name, tar.Header{Typeflag: tar.TypeLink, Linkname: "bin/busybox"}, nil)
		}
	}
	for path, content := range i {
		add(path, tar.Header{Typeflag: tar.TypeReg}, []byte(content))
	}
	f.must(w.Close())
	return buf.Bytes()
}

// containers returns the names of a machine's containers that are in a state, sorted.
func (f *fleet) containers(m *lab.Machine, state string) []string {
	f.t.Helper()
	names := strings.Fields(f.on(m, "podman", "ps", "--all", "--filter=status="+state, "--format={{.Names}}"))
	slices.Sort(names)
	return names
}
