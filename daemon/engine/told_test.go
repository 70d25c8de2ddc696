package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
	"fleettop/units"
)

// doubtfulStore writes, and then doesn't say so, when told to.
type doubtfulStore struct {
	*memstore.Store
	doubt atomic.Bool
}

func (s *doubtfulStore) Apply(ctx context.Context, term int64, moves []cluster.Move,
	found cluster.Findings) (int64, []error, error) {
	revision, errs, err := s.Store.Apply(ctx, term, moves, found)
	if err == nil && found.Verdicts["n3"] != nil && s.doubt.CompareAndSwap(true, false) {
		err = errors.New("the answer got lost")
	}
	return revision, errs, err
}

// TestAVerdictWhoseWriteHadNoAnswerIsTold: the store has it, so nothing is left
// to write, and the timeline gets its line all the same.
func TestAVerdictWhoseWriteHadNoAnswerIsTold(t *testing.T) {
	r := newRig(t, "n1", "n2", "n3")
	s := &doubtfulStore{Store: r.store}
	r.engine.cfg.Store = s
	r.lead("n1")
	r.until("all is written", func(s *cluster.Snapshot) bool { return len(s.Verdicts) == 3 && len(s.WhatIf) == 3 })
	s.doubt.Store(true)
	r.health.set("n3", cluster.Failed, 700*time.Millisecond)
	r.event(cluster.EventMachine, "n3 failed: the test says so")
}

// TestWhatIfIsAnsweredWhileStatusesChange: what units report changes no answer,
// and holds none up.
func TestWhatIfIsAnsweredWhileStatusesChange(t *testing.T) {
	r := newRig(t, "n1", "n2")
	r.put("a.service")
	ctx, cancel := context.WithCancel(r.ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ctx.Err() == nil; n++ {
			st := cluster.Status{Machine: "n1", Status: units.Status{Name: "noisy.service", Load: "loaded", Restarts: n}}
			_ = r.session["n1"].PutStatuses(ctx, []cluster.Status{st}, nil)
			time.Sleep(50 * time.Millisecond)
		}
	}()
	defer func() { cancel(); <-ended }()
	r.lead("n1")
	r.until("answers", func(s *cluster.Snapshot) bool { return len(s.WhatIf) == 2 })
}

// TestHandoverIsTold: that a unit was taken over is on the timeline, with where.
func TestHandoverIsTold(t *testing.T) {
	r := newRig(t, "n1", "n2")
	const content = "[Service]\nExecStart=/bin/true\n"
	u := cluster.Unit{Name: "a.service", Content: content, Hash: "h", Desired: units.Launched, Generation: 1, AdoptedFrom: "n2"}
	if _, err := r.store.PutUnits(r.ctx, []cluster.Unit{u}); err != nil {
		t.Fatal(err)
	}
	r.lead("n1")
	k := cluster.UnitOnMachine{Machine: "n2", Unit: "a.service"}
	var given cluster.Assignment
	r.until("a place", func(s *cluster.Snapshot) bool { given = s.Assignments[k]; return given.TakeOver })
	st := cluster.Status{Machine: "n2", Epoch: given.Epoch, Generation: 1, Status: units.Status{Name: "a.service", Hash: "h", Load: "loaded", Active: "active"}}
	if err := r.session["n2"].PutStatuses(r.ctx, []cluster.Status{st}, nil); err != nil {
		t.Fatal(err)
	}
	r.event(cluster.EventUnit, "a.service was taken over from the host of n2, running on")
	r.until("it is the cluster's", func(s *cluster.Snapshot) bool {
		return !s.Assignments[k].TakeOver && !s.Units["a.service"].ChangesHands()
	})
}
