package stitch

import (
	"fmt"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/journal"
)

// benched is a Stitcher of one unit on so many machines, with their readers.
func benched(b *testing.B, machines int, r Request) (*Stitcher, []*Reader) {
	b.Helper()
	snap, health := cluster.NewSnapshot(1), map[string]cluster.Health{}
	for i := range machines {
		id := fmt.Sprint("m", i)
		snap.Machines[id] = cluster.Machine{ID: id}
		snap.Assignments[cluster.UnitOnMachine{Machine: id, Unit: "a.service"}] = cluster.Assignment{}
		health[id] = cluster.Health{State: cluster.Up}
	}
	r.Names, r.Began = []string{"a.service"}, epoch
	s := New(r, snap, health, nil)
	readers, _ := s.Plan(epoch)
	return s, readers
}

var epoch = time.Unix(1_700_000_000, 0)

// logged are lines of a machine, a millisecond apart.
func logged(machine string, from, n int) []journal.Entry {
	list := make([]journal.Entry, n)
	for i := range list {
		list[i] = journal.Entry{Time: epoch.Add(time.Duration(from+i) * time.Millisecond), Machine: machine,
			Unit: "a.service", Priority: journal.Info, Message: "GET /index.html 200 1234 bytes in 5 ms",
			Cursor: "s=0123456789abcdef0123456789abcdef;i=1234567"}
	}
	return list
}

// drain takes all there is at a moment, and returns how many lines it was.
func drain(s *Stitcher, now time.Time) (n int) {
	for {
		list, _ := s.Next(now)
		if len(list) == 0 {
			return n
		}
		n += len(list)
	}
}

// BenchmarkLive is lines of three machines as they come; one op is 3 x 256 lines.
func BenchmarkLive(b *testing.B) {
	s, readers := benched(b, 3, Request{Follow: true, Lines: -1})
	for _, r := range readers {
		s.Add(r, []journal.Entry{{Kind: journal.KindPosition, Time: epoch, Machine: r.Machine, Cursor: "c"}}, epoch)
	}
	drain(s, epoch.Add(window))
	var batches [][]journal.Entry
	for _, r := range readers {
		batches = append(batches, logged(r.Machine, 0, 256))
	}
	now, lines := epoch, 0
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		for i, r := range readers {
			s.Add(r, batches[i], now)
		}
		lines += drain(s, now.Add(window))
	}
	b.ReportMetric(float64(lines)/b.Elapsed().Seconds(), "lines/s")
}

// BenchmarkOlderLines merges 75,000 older lines of one machine into 60,000 of another.
func BenchmarkOlderLines(b *testing.B) {
	newer, older := logged("m0", 75000, 60000), logged("m1", 0, 75000)
	lines := 0
	b.ReportAllocs()
	for b.Loop() {
		s, readers := benched(b, 2, Request{})
		for i, list := range [][]journal.Entry{newer, older} {
			for len(list) > 0 {
				n := min(256, len(list))
				s.Add(readers[i], list[:n], epoch)
				list = list[n:]
				lines += drain(s, epoch)
			}
			s.End(readers[i], nil, epoch)
		}
		lines += drain(s, epoch)
	}
	if lines%135000 != 0 {
		b.Fatalf("%d lines came", lines)
	}
	b.ReportMetric(float64(lines)/b.Elapsed().Seconds(), "lines/s")
}
