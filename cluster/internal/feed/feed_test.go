package feed

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"fleettop/cluster"
)

// TestNothingIsLost: however reading and writing alternate, the reader comes
// to what was written, in order, and revisions don't go back.
func TestNothingIsLost(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		f := New()
		written, read := cluster.NewSnapshot(0), cluster.NewSnapshot(0)
		events := 0
		take := func() {
			select {
			case c, open := <-f.C():
				if !open {
					return
				}
				if c.Revision < read.Revision {
					r.Fatalf("revision %d after %d", c.Revision, read.Revision)
				}
				for _, e := range c.Events {
					if e.ID != fmt.Sprint(events) {
						r.Fatalf("event %s in place %d", e.ID, events)
					}
					events++
				}
				read = read.With(c)
			default:
			}
		}
		n := rapid.IntRange(1, 40).Draw(r, "changes")
		for i := range n {
			u := &cluster.Unit{Generation: int64(i)}
			if rapid.Bool().Draw(r, "deleted") {
				u = nil
			}
			c := cluster.Change{Revision: int64(rapid.IntRange(i-1, i+1).Draw(r, "revision")),
				Units:  map[string]*cluster.Unit{rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "unit"): u},
				Events: []cluster.Event{{ID: fmt.Sprint(i)}}}
			if !f.Offer(c) {
				r.Fatal("cut off")
			}
			written = written.With(c)
			if rapid.Bool().Draw(r, "read") {
				take()
			}
		}
		f.Close()
		take()
		if fmt.Sprint(read.Units) != fmt.Sprint(written.Units) || events != n {
			r.Fatalf("read %v and %d events, written %v and %d", read.Units, events, written.Units, n)
		}
	})
}

func TestAbsurdlySlowReadersAreCutOff(t *testing.T) {
	f := New()
	if !f.Offer(cluster.Change{Events: make([]cluster.Event, Most)}) {
		t.Fatal("cut off too early")
	}
	if f.Offer(cluster.Change{Events: make([]cluster.Event, 1)}) || f.Offer(cluster.Change{}) {
		t.Fatal("grows without limit")
	}
	if _, open := <-f.C(); open {
		t.Error("what was left of a broken feed is still read")
	}
	f.Close()
}
