package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fleettop/daemon/etcdnode"
	"fleettop/daemon/keys"
	"fleettop/units/atomicfile"
	"fleettop/units/safefile"
)

const (
	departedFile = "left.json" // in the state directory
	departedSize = 64 << 10
	disableLimit = 10 * time.Second
)

// departed is what a machine remembers of the cluster it left for good, so that
// starting its daemon again doesn't make it a member again unasked.
type departed struct {
	Time time.Time `json:"time"`
	Keys []string  `json:"keys,omitempty"` // IDs of the cluster's keys
	Key  string    `json:"key,omitempty"`  // the file that its key was put aside to
}

func departedPath(stateDir string) string { return filepath.Join(stateDir, departedFile) }

// stayOut makes the machine stay out of the cluster that it has left: it puts
// the key aside, forgets the others' addresses, notes that it left, and disables
// the service.
func (n *node) stayOut(ctx context.Context) {
	d := departed{Time: time.Now().UTC().Truncate(time.Second)}
	if d.Keys = n.credentials.KeyIDs(); d.Keys != nil {
		aside, err := keys.PutAside(n.cfg.KeyFile)
		if err != nil {
			n.log.Warn("the cluster's key is still here; remove it", "file", n.cfg.KeyFile, "error", err)
		} else {
			d.Key = aside
			n.log.Info("the cluster's key was put aside", "file", aside)
		}
	}
	if err := etcdnode.ForgetSeeds(n.cfg.StateDir); err != nil {
		n.log.Warn("the addresses of the cluster's machines are still here", "error", err)
	}
	raw, err := json.Marshal(d)
	if err == nil {
		err = atomicfile.Write(departedPath(n.cfg.StateDir), raw, 0o600)
	}
	if err != nil {
		n.log.Warn("nothing here says that this machine left the cluster; don't start its daemon again", "error", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), disableLimit)
	defer cancel()
	unit, args := ownService()
	if unit == "" {
		return
	}
	out, err := exec.CommandContext(ctx, "systemctl", append(args, "disable", "--quiet", unit)...).CombinedOutput()
	if err != nil {
		said := strings.TrimSpace(string(out))
		n.log.Warn("the daemon's service is still enabled", "unit", unit, "error", err, "systemctl", said)
		return
	}
	n.log.Info("the daemon's service is disabled", "unit", unit)
}

// ownService is the service that this process is the main one of, with the
// flags by which systemctl finds it; "" where systemd didn't start it.
func ownService() (unit string, args []string) {
	if !underSystemd() {
		return "", nil
	}
	raw, err := safefile.Read("/proc/self/cgroup", departedSize)
	if err != nil {
		return "", nil
	}
	return serviceOf(string(raw))
}

// serviceOf reads the service from the text of a process's cgroups.
func serviceOf(cgroups string) (unit string, args []string) {
	for line := range strings.Lines(cgroups) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, ok := strings.Cut(rest, ":")
		if !ok || controllers != "" && controllers != "name=systemd" || !strings.HasSuffix(group, ".service") {
			continue
		}
		if strings.Contains(group, "/user@") {
			args = []string{"--user"}
		}
		return path.Base(group), args
	}
	return "", nil
}

// refuseDeparted returns an error that wraps ErrLeft where this machine left
// the cluster whose key it has, or that it would begin again without a key.
func refuseDeparted(cfg *Config) error {
	file := departedPath(cfg.StateDir)
	raw, err := safefile.Read(file, departedSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var d departed
	if err == nil {
		err = json.Unmarshal(raw, &d)
	}
	if err != nil {
		cfg.Log.Warn("what says that this machine left a cluster can't be read; going on", "error", err)
		return nil
	}
	ring, err := keys.Load(cfg.KeyFile)
	if err == nil && !slices.ContainsFunc(ring.IDs(), func(id string) bool { return slices.Contains(d.Keys, id) }) {
		return os.Remove(file) // it was given another cluster's key since
	}
	aside := ""
	if d.Key != "" {
		aside = ", and its key was put aside as " + d.Key
	}
	return fmt.Errorf("%w for good at %s%s.\n"+
		"To make it a member again, run here the line that `fleettop join-command` prints on a machine of the cluster.\n"+
		"To begin a cluster of its own, run `fleettop key generate`; on loopback without a key, remove %s",
		ErrLeft, d.Time.Format(time.RFC3339), aside, file)
}
