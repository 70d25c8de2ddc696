package daemon

import (
	"testing"

	"fleettop/cluster/memstore"
)

// TestMachineThatLeftStartsNoMember: a machine may be given a seat in etcd just
// as it leaves. Its record stays gone.
func TestMachineThatLeftStartsNoMember(t *testing.T) {
	mem := memstore.New()
	l := &etcdLink{cfg: &Config{MachineID: "m1"}, records: mem.Open()}
	if fresh, err := l.claim(t.Context(), 7, false); fresh || err != nil {
		t.Errorf("claim: %t, %v", fresh, err)
	}
	if left := mem.Snapshot().Machines; len(left) != 0 {
		t.Errorf("its record is back: %+v", left)
	}
}
