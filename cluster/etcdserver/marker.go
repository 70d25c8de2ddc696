package etcdserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"fleettop/units/atomicfile"
	"fleettop/units/diskfault"
	"fleettop/units/safefile"
)

const (
	dataDir    = "etcd"         // etcd's own directory inside Config.Dir
	markerFile = "cluster.json" // whose data that is
)

// marker says whose data a directory holds.
type marker struct {
	ClusterID string `json:"clusterID"`
	Machine   string `json:"machine"`
	// Founding means that the cluster's first member hasn't served yet. What is there then is
	// nobody's: where the daemon ends in between, it may lack the start of its log.
	Founding bool `json:"founding,omitempty"`
	// Succeeds is the cluster whose data this one was made of; see Survivor.Recover.
	Succeeds string `json:"succeeds,omitempty"`
}

// ForeignDataError says that a data directory belongs to another cluster, or
// to another machine of this one.
type ForeignDataError struct {
	Dir                      string
	WantCluster, WantMachine string
	HasCluster, HasMachine   string
}

// Error implements error.
func (e *ForeignDataError) Error() string {
	what := fmt.Sprintf("cluster %s, and this machine is to be in cluster %s", e.HasCluster, e.WantCluster)
	if e.HasCluster == e.WantCluster {
		what = fmt.Sprintf("machine %s, and this is machine %s", e.HasMachine, e.WantMachine)
	}
	return "the data in " + e.Dir + " belongs to " + what +
		": choose another --state-dir, or move that one away if its data is no longer needed"
}

// GoneError says that a directory is marked as a cluster's and has no data of it.
type GoneError struct{ Dir, ClusterID string }

// Error implements error.
func (e *GoneError) Error() string {
	return fmt.Sprintf("this machine was in cluster %s by %s, and the cluster's data is gone from %s: to join that "+
		"cluster "+
		"anew, start with --join and a machine of it; to found a new cluster, remove %[2]s first",
		e.ClusterID, filepath.Join(e.Dir, markerFile), filepath.Join(e.Dir, dataDir))
}

// HasData reports whether dir holds the data of an etcd member, which isn't that of a founding that was interrupted.
func HasData(dir string) bool {
	if m, err := readMarker(dir); err == nil && m.Founding {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, dataDir, "member", "wal"))
	return err == nil
}

// Discard removes the member's data from dir, for a member that was removed
// from its cluster and may join again. Its error says which file is left.
func Discard(dir string) error {
	// The marker goes last: without it the rest would be nobody's.
	for _, name := range []string{dataDir, markerFile} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("discard the data of a removed member: %w: %s", err, diskfault.Advice(err, ""))
		}
	}
	return nil
}

// dropUnfinished removes what an interrupted founding left.
func dropUnfinished(dir string) error {
	m, err := readMarker(dir)
	if err != nil || !m.Founding {
		return err
	}
	return Discard(dir)
}

// PutAside moves the member's data in dir to a directory beside it, which it
// returns, so that the machine joins anew. What was put aside before is removed.
func PutAside(dir string) (string, error) {
	from, to := filepath.Join(dir, dataDir), filepath.Join(dir, dataDir+".old")
	err := os.RemoveAll(to)
	if err == nil {
		err = os.Rename(from, to)
	}
	if err != nil {
		return "", fmt.Errorf("put etcd's data aside: %w: move %s away, and start the daemon again", err, from)
	}
	return to, nil
}

func readMarker(dir string) (marker, error) {
	var m marker
	path := filepath.Join(dir, markerFile)
	data, err := safefile.Read(path, 4<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		return m, fmt.Errorf("read whose data %s holds: %w: restore %s, or choose another --state-dir", dir, err, path)
	}
	return m, nil
}

// claim makes dir ours, or refuses it if it is another cluster's or machine's.
// A mark without data keeps a machine from founding a cluster, not from joining one.
func claim(dir string, want marker, founding bool) error {
	has, err := readMarker(dir)
	if err != nil {
		return err
	}
	switch {
	case has.ClusterID == want.ClusterID && has.Machine == want.Machine:
		return nil
	case has != marker{} && !HasData(dir) && founding:
		return &GoneError{Dir: dir, ClusterID: has.ClusterID}
	case has != marker{} && !HasData(dir):
	case has != marker{}:
		return &ForeignDataError{Dir: dir, WantCluster: want.ClusterID, WantMachine: want.Machine,
			HasCluster: has.ClusterID, HasMachine: has.Machine}
	case HasData(dir):
		return fmt.Errorf("%s has etcd data and nothing that says whose (%s is missing): restore it, or choose another "+
			"--state-dir", dir, markerFile)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w: %s", err, diskfault.Advice(err, "--state-dir"))
	}
	return writeMarker(dir, want)
}

func writeMarker(dir string, m marker) error {
	data, err := json.Marshal(m)
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, markerFile), append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("mark the state directory: %w: %s", err, diskfault.Advice(err, "--state-dir"))
	}
	return nil
}
