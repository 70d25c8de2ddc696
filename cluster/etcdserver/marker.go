package etcdserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	dataDir    = "etcd"         // etcd's own directory inside Config.Dir
	markerFile = "cluster.json" // whose data that is
)

// marker says whose data a directory holds.
type marker struct {
	ClusterID string `json:"clusterID"`
	Machine   string `json:"machine"`
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
		": choose another --data-dir, or move that one away if its data is no longer needed"
}

// HasData tells whether dir holds the data of an etcd member.
func HasData(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, dataDir, "member", "wal"))
	return err == nil
}

// Discard removes the member's data from dir, for a member that was removed
// from its cluster and may join again.
func Discard(dir string) error {
	// The marker goes last: without it the rest would be nobody's.
	for _, name := range []string{dataDir, markerFile} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("discard the data of a removed member: %w: remove it by hand", err)
		}
	}
	return nil
}

func readMarker(dir string) (marker, error) {
	var m marker
	path := filepath.Join(dir, markerFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		return m, fmt.Errorf("read whose data %s holds: %w: restore %s, or choose another --data-dir", dir, err, path)
	}
	return m, nil
}

// claim makes dir ours, or refuses it if it is somebody else's.
func claim(dir string, want marker) error {
	has, err := readMarker(dir)
	if err != nil {
		return err
	}
	switch {
	case has == want:
		return nil
	case has != marker{}:
		return &ForeignDataError{Dir: dir, WantCluster: want.ClusterID, WantMachine: want.Machine,
			HasCluster: has.ClusterID, HasMachine: has.Machine}
	case HasData(dir):
		return fmt.Errorf("%s has etcd data and nothing that says whose (%s is missing): restore it, or choose another --data-dir", dir, markerFile)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w: choose another --data-dir", err)
	}
	return writeMarker(dir, want)
}

// writeMarker writes and renames, so that a crash leaves the old or the new one.
func writeMarker(dir string, m marker) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, markerFile+".*")
	if err != nil {
		return fmt.Errorf("mark the data directory: %w: see that %s can be written", err, dir)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(data, '\n'))
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, markerFile))
	}
	if err != nil {
		return fmt.Errorf("mark the data directory: %w: see that %s has space and can be written", err, dir)
	}
	return nil
}
