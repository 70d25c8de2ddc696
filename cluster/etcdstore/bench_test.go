package etcdstore

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

func benchUnits(n int) []cluster.Unit {
	list := make([]cluster.Unit, n)
	for i := range list {
		list[i] = cluster.Unit{Name: fmt.Sprintf("web@%d.service", i), Content: strings.Repeat("Environment=A=B\n", 50),
			Hash: strings.Repeat("a", 40), Desired: units.Launched, Generation: 1, At: time.Now()}
	}
	return list
}

func allTaken(b *testing.B, errs []error, err error) {
	b.Helper()
	for _, e := range errs {
		if e != nil {
			b.Fatal(e)
		}
	}
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkPutUnits1000(b *testing.B) {
	s := opener(b)()
	list := benchUnits(1000)
	for b.Loop() {
		errs, err := s.PutUnits(b.Context(), list)
		allTaken(b, errs, err)
		for i := range list {
			list[i].Generation++
		}
	}
}

func BenchmarkApply(b *testing.B) {
	for _, c := range []struct {
		name  string
		moves int
	}{{"100 moved", 100}, {"300 placed", 300}} {
		b.Run(c.name, func(b *testing.B) {
			s := opener(b)()
			n, err := s.Register(b.Context(), cluster.Run{Machine: "m0", ID: "run"}, time.Minute)
			if err != nil {
				b.Fatal(err)
			}
			l, err := s.Campaign(b.Context(), n)
			if err != nil {
				b.Fatal(err)
			}
			list := benchUnits(c.moves)
			errs, err := s.PutUnits(b.Context(), list)
			allTaken(b, errs, err)
			there := func(i int, machine string) *cluster.Assignment {
				u := list[i]
				return &cluster.Assignment{Machine: machine, Unit: u.Name, Content: u.Content, Hash: u.Hash, Desired: u.Desired,
					Generation: 1}
			}
			moves := make([]cluster.Move, len(list))
			round := 0
			for b.Loop() {
				for i, u := range list {
					m := cluster.Move{Unit: u.Name, Generation: 1, To: there(i, fmt.Sprintf("m%d", round+1))}
					if c.moves == 100 && round > 0 {
						m.From = there(i, fmt.Sprintf("m%d", round))
					}
					moves[i] = m
				}
				_, errs, err := s.Apply(b.Context(), l.Term, moves, cluster.Findings{})
				allTaken(b, errs, err)
				round++
			}
		})
	}
}

func BenchmarkWatchSnapshot1000(b *testing.B) {
	s := opener(b)()
	errs, err := s.PutUnits(b.Context(), benchUnits(1000))
	allTaken(b, errs, err)
	for b.Loop() {
		ctx, cancel := context.WithCancel(b.Context())
		snap, _, err := s.Watch(ctx, cluster.Scope{})
		if err != nil || len(snap.Units) != 1000 {
			b.Fatal(len(snap.Units), err)
		}
		cancel()
	}
}
