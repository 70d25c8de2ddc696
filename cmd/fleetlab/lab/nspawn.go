package lab

import (
	"errors"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// joinGroups is a shell script that puts itself into cgroups, then becomes a
// program: "sh -c joinGroups sh N procs... program args...". systemd-nspawn
// takes its cgroup from where it is started.
const joinGroups = `n=$1; shift; while [ "$n" -gt 0 ]; do echo $$ >"$1" || exit; shift; n=$((n-1)); done; exec "$@"`

// nspawnArgs is the command line that boots a machine.
func nspawnArgs(m *Machine, separate []string) []string {
	args := []string{
		"systemd-nspawn", "--quiet",
		"--register=no", "--keep-unit", // no machined, no unit on the host
		"--directory=" + m.root(),
		"--machine=" + m.group(), // unique on the host; locks and sockets are named after it
		"--hostname=" + m.Name,
		"--uuid=" + m.MachineID,
		"--network-namespace-path=" + filepath.Join(netnsHome, m.group()),
		usrArg(m.lab.layers),
		"--bind=" + m.local() + ":" + localDir,
		"--link-journal=no",
		"--resolv-conf=off", "--timezone=off",
		"--capability=CAP_NET_ADMIN",
		"--drop-capability=CAP_SYS_TIME", // the clock is the host's
	}
	for _, dir := range separate {
		args = append(args, "--bind-ro="+dir)
	}
	return append(args, "--boot")
}

// usrArg gives a machine its /usr: the host's, and layers on top of it.
func usrArg(layers []string) string {
	if len(layers) == 0 {
		return "--bind-ro=/usr"
	}
	arg := "--overlay-ro=/usr"
	for _, layer := range layers {
		arg += ":" + strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(layer)
	}
	return arg + ":/usr"
}

// nspawnEnv is its environment: nothing of the host's leaks into the machine.
func nspawnEnv(unified bool) []string {
	env := []string{"PATH=" + cleanPath, "LANG=C.UTF-8", "TERM=dumb"}
	if unified {
		// Without it a machine on a hybrid host runs on v1, where a service
		// that forked gets no notice of its end.
		env = append(env, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	}
	return env
}

const cleanPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// removeTraces removes what supervisors that were killed left in systemd-nspawn's own directories.
func removeTraces(prefix string) error {
	traces, _ := filepath.Glob("/run/systemd/nspawn/*/" + prefix + "*") // the pattern is well-formed
	var errs []error
	for _, path := range traces {
		_ = unix.Unmount(path, unix.MNT_DETACH) // most aren't mounts
		errs = append(errs, removeTree(path))
	}
	return errors.Join(errs...)
}
