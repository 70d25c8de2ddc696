package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// makeRoot makes the machine's disk: an /etc, an empty /var and mount points.
// All else comes from the host's /usr. count is how many machines the lab has.
func (m *Machine) makeRoot(count int) error {
	root := m.root()
	for _, dir := range []string{"etc/systemd/system", "etc/systemd/journald.conf.d", "etc/fleettop", "usr",
		"var/log/journal", "var/lib",
		"run", "tmp", "dev", "proc", "sys", "root", "home", "opt", "mnt", "srv"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(m.local(), "bin"), 0o755); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(root, "tmp"), 0o1777); err != nil {
		return err
	}
	for name, target := range rootLinks("/") {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			return err
		}
	}
	for _, dir := range separateDirs("/") {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	// A copy, not a link into /usr: systemd-nspawn looks for it before /usr is there.
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "etc/os-release"), release, 0o644); err != nil {
		return err
	}
	for name, content := range m.etcFiles(count, accounts("/etc/passwd"), accounts("/etc/group")) {
		mode := fs.FileMode(0o644)
		if name == "shadow" {
			mode = 0o600
		}
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(content), mode); err != nil {
			return err
		}
	}
	for _, name := range maskedUnits {
		if err := os.Symlink("/dev/null", filepath.Join(root, "etc/systemd/system", name)); err != nil {
			return err
		}
	}
	// What the host's programs need to find their libraries and each other.
	for _, name := range []string{"ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "dbus-1"} {
		if err := copyTree(filepath.Join("/etc", name), filepath.Join(root, "etc", name)); err != nil {
			return err
		}
	}
	return os.Symlink("/usr/share/zoneinfo/UTC", filepath.Join(root, "etc/localtime"))
}

// copyTree copies a file or a directory, links as links. One that isn't there is fine.
func copyTree(from, to string) error {
	info, err := os.Stat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.CopyFS(to, os.DirFS(from))
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, info.Mode().Perm())
}

// topDirs are those which are links into /usr on a merged host.
var topDirs = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"}

// rootLinks returns the links at the top of the host's tree, which are the machine's too.
func rootLinks(host string) map[string]string {
	links := map[string]string{}
	for _, name := range topDirs {
		if target, err := os.Readlink(filepath.Join(host, name)); err == nil {
			links[name] = target
		}
	}
	return links
}

// separateDirs returns the directories of a host whose /usr isn't merged; they
// are bound into the machine beside /usr.
func separateDirs(host string) []string {
	var dirs []string
	for _, name := range topDirs {
		path := filepath.Join(host, name)
		if info, err := os.Lstat(path); err == nil && info.IsDir() {
			dirs = append(dirs, path)
		}
	}
	return dirs
}

// maskedUnits are what has no place in a machine without seats, and whose
// network is set up from outside.
var maskedUnits = []string{
	"systemd-firstboot.service", "systemd-networkd.service", "systemd-networkd.socket",
	"systemd-networkd-wait-online.service",
	"systemd-resolved.service", "systemd-timesyncd.service", "systemd-logind.service",
	"console-getty.service", "getty.target", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer",
	"e2scrub_all.timer", "fstrim.timer",
	"e2scrub_reap.service", "ssh.service", "ssh.socket", "cron.service", "rsyslog.service",
}

// account is a line of a passwd or group file: the fields after the name.
type account []string

// accounts reads the host's, so that files of the host's /usr belong to the
// same names in a machine. A file that can't be read is empty.
func accounts(path string) map[string]account {
	data, _ := os.ReadFile(path)
	found := map[string]account{}
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) > 2 {
			found[fields[0]] = fields[1:]
		}
	}
	return found
}

// id returns an account's number, or a number of ours if the host has no such account.
func id(from map[string]account, name, otherwise string) string {
	if a, ok := from[name]; ok {
		return a[1]
	}
	return otherwise
}

// etcFiles returns the contents of the machine's files in /etc.
func (m *Machine) etcFiles(count int, users, groups map[string]account) map[string]string {
	bus := id(groups, "messagebus", "107")
	var hosts strings.Builder
	fmt.Fprintf(&hosts, "127.0.0.1 localhost\n%s switch\n", m.lab.Gateway())
	for i := 1; i <= count; i++ {
		fmt.Fprintf(&hosts, "%s %s\n", hostOf(m.lab.Subnet(), i), machineName(i))
	}
	group := ""
	for _, g := range []struct{ name, id string }{{"adm", "4"}, {"tty", "5"}, {"disk", "6"}, {"kmem", "15"},
		{"utmp", "43"}, {"users", "100"},
		{"systemd-journal", "999"}, {"fleettop", "990"}, {"fleettop-view", "989"}, {"nogroup", "65534"}} {
		group += g.name + ":x:" + id(groups, g.name, g.id) + ":\n"
	}
	return map[string]string{
		"machine-id":  m.MachineID + "\n",
		"hostname":    m.Name + "\n",
		"hosts":       hosts.String(),
		"locale.conf": "LANG=C.UTF-8\n",
		"nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n" +
			"services: files\nprotocols: files\n",
		"passwd": "root:x:0:0:root:/root:/bin/bash\n" +
			"messagebus:x:" + id(users, "messagebus", "100") + ":" + bus + "::/nonexistent:/usr/sbin/nologin\n" +
			"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		"group":  "root:x:0:\nmessagebus:x:" + bus + ":\n" + group,
		"shadow": "root:*::0:99999:7:::\nmessagebus:*:::::::\nnobody:*:::::::\n",
		// On disk, so that a killed machine's log is there after it boots again;
		// a bound on it, as the default is a share of the host's disk.
		"systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=persistent\nSystemMaxUse=64M\nRuntimeMaxUse=32M\nSyncIntervalSec=1s\n",
	}
}
