package etcdserver

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A machine whose data is gone founds no second cluster in the place of the
// first one, and may join one.
func TestMarkWithoutData(t *testing.T) {
	cfg := newConfig(t, "m0")
	cfg.ClusterID = "cluster-two"
	if err := claim(cfg.Dir, marker{ClusterID: testCluster, Machine: "m0"}, true); err != nil {
		t.Fatal(err)
	}
	_, err := Bootstrap(limit(t), cfg)
	if gone := new(GoneError); !errors.As(err, &gone) || gone.ClusterID != testCluster {
		t.Errorf("founded over a mark of %s: %v, expected a GoneError", testCluster, err)
	}
	if err := claim(cfg.Dir, marker{ClusterID: "cluster-two", Machine: "m0"}, false); err != nil {
		t.Errorf("to join another cluster: %v", err)
	}
	if has, err := readMarker(cfg.Dir); has.ClusterID != "cluster-two" || err != nil {
		t.Errorf("the mark is of %q (%v), expected cluster-two", has.ClusterID, err)
	}
}

// A machine whose daemon was killed while it founded a cluster founds it anew, whatever there is
// of the first one, or joins another.
func TestFoundingThatWasInterrupted(t *testing.T) {
	for _, c := range []struct{ name, left string }{
		{"only the mark", ""},
		{"the database", databaseFile},
		{"a log without entries", logDir},
		{"all", "."},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := newConfig(t, "m0")
			cfg.ClusterID = "cluster-one"
			s, err := Bootstrap(limit(t), cfg)
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
			if !HasData(cfg.Dir) {
				t.Error("a cluster that was founded has no data")
			}
			if err := writeMarker(cfg.Dir, marker{ClusterID: "cluster-one", Machine: "m0", Founding: true}); err != nil {
				t.Fatal(err)
			}
			keep, dir := filepath.Join(cfg.Dir, dataDir, c.left), filepath.Join(cfg.Dir, dataDir)
			if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() || c.left != "" && (path == keep || strings.HasPrefix(path, keep+"/") || c.left == ".") {
					return err
				}
				return os.Remove(path)
			}); err != nil {
				t.Fatal(err)
			}
			if HasData(cfg.Dir) {
				t.Error("what was never finished counts as data")
			}
			cfg.ClusterID = "cluster-two"
			if s, err = Bootstrap(limit(t), cfg); err != nil {
				t.Fatal(err)
			}
			s.Close()
			if has, err := readMarker(cfg.Dir); err != nil || has != (marker{ClusterID: "cluster-two", Machine: "m0"}) {
				t.Errorf("the mark is %+v (%v)", has, err)
			}
			if !HasData(cfg.Dir) {
				t.Error("it has no data then")
			}
		})
	}
}
