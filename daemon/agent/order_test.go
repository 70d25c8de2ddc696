package agent

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// tied are assignments with these files.
func tied(files map[string]string) map[string]cluster.Assignment {
	want := map[string]cluster.Assignment{}
	for name, content := range files {
		want[name] = cluster.Assignment{Unit: name, Content: content, Hash: fmt.Sprint("h", len(content)), Desired: units.Launched, Generation: 1, Epoch: 1}
	}
	return want
}

const plain = "[Service]\nExecStart=/bin/a\n"

// slowManager carries out one job at a time, in the order in which it is told to.
type slowManager struct {
	units.Manager
	jobs chan string
}

func (m slowManager) Load(context.Context, []units.UnitFile) (map[string]error, error) {
	return nil, nil
}
func (m slowManager) Start(_ context.Context, name string) error {
	m.jobs <- "start " + name
	return nil
}
func (m slowManager) Stop(_ context.Context, name string) error { m.jobs <- "stop " + name; return nil }

// inOrder has the agent do all there is to do, and returns the jobs in their order.
func inOrder(t *testing.T, a *Agent, desired units.DesiredState) []string {
	t.Helper()
	m := slowManager{jobs: make(chan string)}
	a.cfg.Manager = m
	var jobs []string
	for name, w := range a.want {
		w.Desired = desired
		w.Generation++
		a.want[name] = w
	}
	for {
		a.order.update(a.want, a.held)
		a.launch(t.Context(), Plan(a.want, a.held, a.notes, t0), t0)
		if len(a.flights) == 0 {
			return jobs
		}
		for landed := false; !landed; {
			select {
			case job := <-m.jobs:
				jobs = append(jobs, job)
			case f := <-a.finished:
				a.land(f)
				for _, s := range f.steps {
					h := a.held[s.Unit]
					if f.kind == Start {
						h.Active = "active"
					} else if f.kind == Stop {
						h.Active = "inactive"
					}
					a.held[s.Unit] = h
				}
				landed = true
			case <-time.After(10 * time.Second):
				t.Fatalf("nothing happens after %v", jobs)
			}
		}
	}
}

// TestOrder: what belongs together is loaded at once, started in the order
// that the files say, and stopped so that nothing starts again.
func TestOrder(t *testing.T) {
	a := bare()
	a.held = map[string]units.Status{}
	a.want = tied(map[string]string{
		"a-web.service": "[Unit]\nAfter=z-db.service missing.service\n" + plain, "z-db.service": "[Unit]\nBefore=b-log.service\n" + plain, "b-log.service": plain,
		"call.service": plain, "call.socket": "[Socket]\nListenStream=80\n", "tick.service": plain, "tick.timer": "[Timer]\nOnBootSec=1\n",
		"x.service": "[Unit]\nAfter=y.service\n" + plain, "y.service": "[Unit]\nAfter=x.service\n" + plain, "self.service": "[Unit]\nAfter=%n\n" + plain,
	})
	before := func(jobs []string, first, second string) {
		t.Helper()
		i, j := slices.Index(jobs, first), slices.Index(jobs, second)
		if i < 0 || j < 0 || i > j {
			t.Errorf("%s isn't before %s: %v", first, second, jobs)
		}
	}
	jobs := inOrder(t, a, units.Launched)
	if len(jobs) != len(a.want) {
		t.Errorf("%d units, and these jobs: %v", len(a.want), jobs)
	}
	before(jobs, "start z-db.service", "start a-web.service")
	before(jobs, "start z-db.service", "start b-log.service")
	before(jobs, "start call.socket", "start call.service")
	before(jobs, "start tick.timer", "start tick.service")
	jobs = inOrder(t, a, units.Loaded)
	before(jobs, "stop call.socket", "stop call.service")
	before(jobs, "stop tick.timer", "stop tick.service")
}

// TestOrderOfWhatWasTakenAway: units that are no longer wanted are stopped in their order too.
func TestOrderOfWhatWasTakenAway(t *testing.T) {
	var o order
	want := tied(map[string]string{"call.service": plain, "call.socket": "[Socket]\nListenStream=80\n"})
	o.update(want, nil)
	held := map[string]units.Status{"call.service": {}, "call.socket": {}}
	stop := Step{Kind: Stop, Unit: "call.service"}
	due := map[string]StepKind{"call.socket": Stop}
	if o.update(nil, held); !o.waits(stop, due) {
		t.Error("the service is stopped before its socket")
	}
	delete(held, "call.socket")
	if o.update(map[string]cluster.Assignment{}, held); o.waits(stop, due) {
		t.Error("the service waits for a socket that is gone")
	}
}
