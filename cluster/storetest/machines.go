package storetest

import (
	"errors"
	"maps"
	"strconv"
	"sync"
	"testing"

	"fleettop/cluster"
)

var machineCases = []testCase{
	{"no update of a machine is lost", machineUpdates},
	{"an update that fails changes nothing", machineRefusal},
	{"machines are deleted", machineDelete},
	{"what overrides a machine's metadata outlives its record", machineOverrides},
	{"the cluster has one identity", identity},
}

func machineUpdates(t *testing.T, open func() cluster.Store) {
	const writers, each = 4, 5
	var all sync.WaitGroup
	for range writers {
		s := open()
		all.Go(func() {
			for range each {
				err := s.UpdateMachine(t.Context(), "m1", func(m *cluster.Machine) error {
					if m.ID != "m1" {
						t.Errorf("the machine's ID is %q", m.ID)
					}
					n, _ := strconv.Atoi(m.Metadata["count"])
					m.Metadata = map[string]string{"count": strconv.Itoa(n + 1)}
					m.ID = "somebody else"
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	machines := snapshot(t, open()).Machines
	if n := machines["m1"].Metadata["count"]; n != strconv.Itoa(writers*each) || len(machines) != 1 {
		t.Errorf("counted %s of %d, in %d machines", n, writers*each, len(machines))
	}
}

func machineRefusal(t *testing.T, open func() cluster.Store) {
	s := open()
	must(t, s.UpdateMachine(t.Context(), "m1", func(m *cluster.Machine) error {
		m.Metadata = map[string]string{"disk": "ssd"}
		return nil
	}))
	no := errors.New("no")
	err := s.UpdateMachine(t.Context(), "m1", func(m *cluster.Machine) error {
		m.Metadata["disk"] = "none"
		return no
	})
	if !errors.Is(err, no) {
		t.Errorf("the error is %v", err)
	}
	if got := snapshot(t, s).Machines["m1"].Metadata["disk"]; got != "ssd" {
		t.Errorf("the refused change was made: %q", got)
	}
}

func machineDelete(t *testing.T, open func() cluster.Store) {
	s := open()
	if err := s.DeleteMachine(t.Context(), "m1"); !errors.Is(err, cluster.ErrNotFound) {
		t.Errorf("deleting none: %v", err)
	}
	must(t, s.UpdateMachine(t.Context(), "m1", func(*cluster.Machine) error { return nil }))
	must(t, s.DeleteMachine(t.Context(), "m1"))
	if got := snapshot(t, s).Machines; len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

func machineOverrides(t *testing.T, open func() cluster.Store) {
	s := open()
	join := func() {
		t.Helper()
		must(t, s.UpdateMachine(t.Context(), "m1", func(m *cluster.Machine) error {
			m.Name = "n1"
			m.Configure(map[string]string{"disk": "ssd", "rack": "1"})
			return nil
		}))
	}
	check := func(want map[string]string) {
		t.Helper()
		if got := snapshot(t, open()).Machines["m1"].Metadata; !maps.Equal(got, want) {
			t.Errorf("the metadata is %v, want %v", got, want)
		}
	}
	override := func(key, value string) {
		t.Helper()
		must(t, s.UpdateMachine(t.Context(), "m1", func(m *cluster.Machine) error { m.Override(key, value); return nil }))
	}
	join()
	override("disk", "")
	override("rack", "2")
	override("zone", "a")
	want := map[string]string{"rack": "2", "zone": "a"}
	check(want)
	join() // as a daemon does that starts again
	check(want)
	must(t, s.DeleteMachine(t.Context(), "m1"))
	if got := snapshot(t, s).Machines; len(got) != 0 {
		t.Errorf("left: %v", got)
	}
	if err := s.DeleteMachine(t.Context(), "m1"); !errors.Is(err, cluster.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	join()
	check(want)
	must(t, s.UpdateMachine(t.Context(), "m1", func(m *cluster.Machine) error { m.Overrides = nil; return nil }))
	must(t, s.DeleteMachine(t.Context(), "m1"))
	join()
	check(map[string]string{"disk": "ssd", "rack": "1"})
}

func identity(t *testing.T, open func() cluster.Store) {
	const clients = 4
	ids := make([]string, clients)
	f := follow(t, open(), cluster.Scope{})
	var all sync.WaitGroup
	for i := range ids {
		s := open()
		all.Go(func() {
			var err error
			if ids[i], err = s.ClusterID(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Errorf("identities %q", ids)
		}
	}
	f.until("the identity", func(s *cluster.Snapshot) bool { return s.ClusterID == ids[0] })
}
