package storetest

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fleettop/cluster"
)

var unitCases = []testCase{
	{"units are compared and swapped by generation", unitGenerations},
	{"one bad unit keeps no other from being written", unitBatch},
	{"one unit twice in a batch", unitTwice},
	{"of several writers of a generation one wins", unitRace},
	{"units are deleted", unitDelete},
	{"a thousand units, and big ones", unitMany},
}

func unitGenerations(t *testing.T, open func() cluster.Store) {
	s := open()
	u := unit("web.service")
	put(t, s, u)
	got := snapshot(t, s).Units[u.Name]
	if !got.At.Equal(u.At) {
		t.Errorf("At is %v, want %v", got.At, u.At)
	}
	got.At = u.At
	if got != u {
		t.Errorf("read %+v, wrote %+v", got, u)
	}
	next := func(g int64) cluster.Unit { v := u; v.Generation = g; return v }
	for _, c := range []struct {
		unit cluster.Unit
		want error
	}{
		{next(1), cluster.ErrExists},
		{next(3), cluster.ErrConflict},
		{next(2), nil},
		{next(2), cluster.ErrConflict},
		{next(3), nil},
		{cluster.Unit{Name: "db.service", Generation: 2}, cluster.ErrNotFound},
	} {
		errs, err := s.PutUnits(t.Context(), []cluster.Unit{c.unit})
		want(t, errs, err, c.want)
		if c.want != nil && !strings.Contains(errs[0].Error(), c.unit.Name) {
			t.Errorf("%q doesn't name the unit", errs[0])
		}
	}
	if g := snapshot(t, s).Units[u.Name].Generation; g != 3 {
		t.Errorf("generation is %d, want 3", g)
	}
	errs, err := s.PutUnits(t.Context(), []cluster.Unit{next(0)})
	if err != nil || errs[0] == nil {
		t.Errorf("generation 0 was taken: %v %v", errs, err)
	}
}

func unitBatch(t *testing.T, open func() cluster.Store) {
	s := open()
	put(t, s, unit("b.service"))
	late := unit("d.service")
	late.Generation = 5
	errs, err := s.PutUnits(t.Context(), []cluster.Unit{unit("a.service"), unit("b.service"), unit("c.service"), late})
	want(t, errs, err, nil, cluster.ErrExists, nil, cluster.ErrNotFound)
	if got := names(snapshot(t, s).Units); !slices.Equal(got, []string{"a.service", "b.service", "c.service"}) {
		t.Errorf("the units are %v", got)
	}
}

func unitTwice(t *testing.T, open func() cluster.Store) {
	s := open()
	one, two := unit("a.service"), unit("a.service")
	two.Generation = 2
	errs, err := s.PutUnits(t.Context(), []cluster.Unit{one, two, one})
	want(t, errs, err, nil, nil, cluster.ErrExists)
	if g := snapshot(t, s).Units[one.Name].Generation; g != 2 {
		t.Errorf("generation is %d, want 2", g)
	}
}

func unitRace(t *testing.T, open func() cluster.Store) {
	const writers, generations = 4, 5
	var won [generations + 1]atomic.Int32
	var all sync.WaitGroup
	for range writers {
		s := open()
		all.Go(func() {
			for g := int64(1); g <= generations; g++ {
				u := unit("web.service")
				u.Generation = g
				// The others' next generation waits for whoever wins this one.
				errs, err := s.PutUnits(t.Context(), []cluster.Unit{u, unit("other.service")})
				if err != nil {
					t.Error(err)
					return
				}
				if errs[0] == nil {
					won[g].Add(1)
				}
			}
		})
	}
	all.Wait()
	for g := 1; g <= generations; g++ {
		if n := won[g].Load(); n != 1 {
			t.Errorf("%d writers won generation %d", n, g)
		}
	}
}

func unitDelete(t *testing.T, open func() cluster.Store) {
	s := open()
	put(t, s, unit("a.service"), unit("b.service"))
	errs, err := s.DeleteUnits(t.Context(), []string{"a.service", "x.service", "a.service"})
	want(t, errs, err, nil, cluster.ErrNotFound, cluster.ErrNotFound)
	if got := names(snapshot(t, s).Units); !slices.Equal(got, []string{"b.service"}) {
		t.Errorf("the units are %v", got)
	}
	put(t, s, unit("a.service")) // starts over with generation 1
	errs, err = s.DeleteUnits(t.Context(), nil)
	want(t, errs, err)
}

func unitMany(t *testing.T, open func() cluster.Store) {
	s := open()
	list := many(1000)
	began := time.Now()
	put(t, s, list...)
	t.Logf("1000 units in %v", time.Since(began))
	big := many(6)
	for i := range big {
		big[i].Name, big[i].Content = "big-"+big[i].Name, strings.Repeat("<\"ü>\n", 200<<10/6)
	}
	put(t, s, big...)
	snap := snapshot(t, s)
	if len(snap.Units) != len(list)+len(big) {
		t.Errorf("%d units, want %d", len(snap.Units), len(list)+len(big))
	}
	for _, u := range big {
		if snap.Units[u.Name].Content != u.Content {
			t.Errorf("%s came back changed", u.Name)
		}
	}
	list[500].Generation, list[501].Generation = 3, 2
	errs, err := s.PutUnits(t.Context(), list)
	must(t, err)
	for i, e := range errs {
		if (e == nil) != (i == 501) {
			t.Fatalf("entry %d: %v", i, e)
		}
	}
}
