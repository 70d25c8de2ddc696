package lab

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNotRoot means that the caller may not make namespaces and cgroups.
var ErrNotRoot = errors.New("a lab needs root, to make namespaces, cgroups and links: run it with sudo")

// tool is a program a lab runs on the host, or in its machines from the host's /usr.
type tool struct{ name, pkg string }

var tools = []tool{
	{"systemd-nspawn", "systemd-container"},
	{"systemctl", "systemd"},
	{"journalctl", "systemd"},
	{"dbus-daemon", "dbus"},
	{"nsenter", "util-linux"},
	{"mount", "mount"},
}

// checkHost says what this host lacks to run a lab, with all that is missing at once.
func checkHost() error {
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	return missingTools(tools, exec.LookPath)
}

func missingTools(tools []tool, look func(string) (string, error)) error {
	var names, pkgs []string
	for _, t := range tools {
		if _, err := look(t.name); err != nil {
			names = append(names, t.name)
			pkgs = append(pkgs, t.pkg)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("this host lacks %s: apt-get install -y %s", strings.Join(names, ", "), strings.Join(pkgs, " "))
}

// removeTree removes a lab's directory. Should something be mounted below it,
// that is unmounted first, never removed through.
func removeTree(dir string) error {
	mounts, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		_ = controlDisk(m, fiThaw) // one that is stalled would stay for good, out of reach
		if err := unix.Unmount(m, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", m, err)
		}
	}
	return os.RemoveAll(dir)
}

// mountsBelow returns the mount points strictly below a directory, the last mounted first.
func mountsBelow(dir string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 {
			path := unescapeMount(fields[4])
			if strings.HasPrefix(path, filepath.Clean(dir)+"/") {
				found = append([]string{path}, found...)
			}
		}
	}
	return found, nil
}

// unescapeMount undoes the octal escapes of /proc/self/mountinfo.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
