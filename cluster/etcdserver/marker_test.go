package etcdserver

import (
	"errors"
	"testing"
)

// A machine whose data is gone founds no second cluster in the place of the
// first one, and may join one.
func TestMarkWithoutData(t *testing.T) {
	cfg := newConfig(t, "m0")
	cfg.ClusterID = "cluster-two"
	if err := claim(cfg.Dir, marker{testCluster, "m0"}, true); err != nil {
		t.Fatal(err)
	}
	_, err := Bootstrap(limit(t), cfg)
	if gone := new(GoneError); !errors.As(err, &gone) || gone.ClusterID != testCluster {
		t.Errorf("founded over a mark of %s: %v, expected a GoneError", testCluster, err)
	}
	if err := claim(cfg.Dir, marker{"cluster-two", "m0"}, false); err != nil {
		t.Errorf("to join another cluster: %v", err)
	}
	if has, err := readMarker(cfg.Dir); has.ClusterID != "cluster-two" || err != nil {
		t.Errorf("the mark is of %q (%v), expected cluster-two", has.ClusterID, err)
	}
}
