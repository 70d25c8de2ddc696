package etcdnode

import (
	"testing"

	"fleettop/cluster/memstore"
)

// TestMachineThatLeftStartsNoMember: a machine may be given a seat in etcd just
// as it leaves. Its record stays gone.
func TestMachineThatLeftStartsNoMember(t *testing.T) {
	mem := memstore.New()
	n := &Node{cfg: Config{Machine: "m1"}}
	if fresh, err := n.claim(t.Context(), mem.Open(), 7, false); fresh || err != nil {
		t.Errorf("claim: %t, %v", fresh, err)
	}
	if left := mem.Snapshot().Machines; len(left) != 0 {
		t.Errorf("its record is back: %+v", left)
	}
}
