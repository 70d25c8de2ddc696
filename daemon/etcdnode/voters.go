package etcdnode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"fleettop/cluster"
	"fleettop/cluster/etcdserver"
	"fleettop/daemon/view"
	"fleettop/units/retry"
)

const (
	voterLook    = 5 * time.Second        // between looks at etcd's members when all is settled
	voterSettle  = 20 * time.Second       // after a step, while a member may be starting
	voterSoon    = 100 * time.Millisecond // between looks until then
	voterRetry   = 250 * time.Millisecond // after a step that etcd refused for now
	voterCalm    = 500 * time.Millisecond // between looks until etcd is calm enough to grow
	replaceAfter = etcdserver.DefaultReplaceAfter
	drillReturn  = time.Minute // after the end of a drill its machine is to be back
)

// errNotCalm means that a step waits until etcd is calm.
var errNotCalm = errors.New("etcd isn't calm")

// Health is what this daemon holds true of each machine.
type Health interface {
	Health() map[string]cluster.Health
	Changed() <-chan struct{}
}

// Voters decides which machines vote in the embedded etcd. Only the leader's may run.
type Voters struct {
	Client   *clientv3.Client
	Records  Records
	Timeline Timeline
	View     View
	Health   Health
	Log      *slog.Logger
}

// Run grows, mends and shrinks the embedded etcd, one step at a time, until ctx
// ends. It returns nil: what fails is logged and tried again.
func (v *Voters) Run(ctx context.Context) error {
	lease := v.View.Hold()
	defer lease.Release()
	alive := map[string]aliveness{}
	last := time.Now()
	quiet, complained, delay := &calm{}, false, retry.NewDelay(voterRetry, voterLook)
	for ctx.Err() == nil {
		_, _, _, viewChanged := lease.Latest()
		healthChanged := v.Health.Changed()
		stepped, err := v.step(ctx, lease, alive, quiet)
		switch {
		case errors.Is(err, etcdserver.ErrNotReady):
			retry.Pause(ctx, voterRetry)
			continue
		case errors.Is(err, errNotCalm):
			retry.Pause(ctx, voterCalm)
			continue
		case err != nil:
			if ctx.Err() == nil && !complained {
				v.Log.Warn("etcd's voters", "error", err)
			}
			complained = true
			delay.Wait(ctx)
			continue
		case stepped:
			last = time.Now()
			continue
		}
		complained = false
		delay.Reset()
		look := voterLook
		if time.Since(last) < voterSettle {
			look = voterSoon
		}
		select {
		case <-ctx.Done():
		case <-healthChanged:
			retry.Pause(ctx, voterSoon)
		case <-viewChanged:
			retry.Pause(ctx, voterRetry) // most changes are of units, and come in crowds
		case <-time.After(look):
		}
	}
	return nil
}

// aliveness is since when a machine has been alive, or dead.
type aliveness struct {
	name  string // for messages about it when its record is gone
	alive bool
	since time.Time
}

// step takes one step, and reports whether there was one to take.
func (v *Voters) step(ctx context.Context, lease *view.Lease, seen map[string]aliveness,
	quiet *calm) (bool, error) {
	term := ctx
	snap, err := lease.Snapshot(ctx, 0)
	if err != nil {
		return false, err
	}
	healths := v.Health.Health()
	now := time.Now()
	var candidates []etcdserver.Candidate
	for id, m := range snap.Machines {
		h := healths[id]
		a := aliveness{name: m.Name, alive: h.State == cluster.Up || h.State == cluster.Suspect, since: h.Since}
		if was, ok := seen[id]; ok && was.alive == a.alive {
			a.since = was.since
		}
		seen[id] = a
		if m.EtcdPeerURL != "" {
			candidates = append(candidates, etcdserver.Candidate{Machine: id, PeerURL: m.EtcdPeerURL,
				Alive: a.alive || m.Drill.Out() && now.Before(m.Drill.Ends().Add(drillReturn)), Since: a.since, Left: m.Departure == cluster.Left, Lost: m.EtcdLost})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	asked := time.Now()
	members, err := etcdserver.Members(ctx, v.Client)
	if err != nil {
		quiet.observe(time.Now(), slowList, true)
		return false, err
	}
	quiet.observe(time.Now(), time.Since(asked), doubtful(members, healths))
	if err := v.writeSeats(ctx, snap, members); err != nil {
		return false, err
	}
	step, ok := etcdserver.NextStep(members, candidates, now, replaceAfter)
	if !ok {
		return false, nil
	}
	if !quiet.allows(step, members, time.Now()) {
		return false, errNotCalm
	}
	if err := etcdserver.Do(ctx, v.Client, step); err != nil {
		return false, err
	}
	name := cmp.Or(seen[step.Machine].name, "machine "+cmp.Or(step.Machine, "at "+step.PeerURL))
	v.Log.Info("etcd's voters change", "step", step.Kind, "machine", name, "reason", step.Reason)
	text := map[etcdserver.StepKind]string{
		etcdserver.AddLearner:    "%s learns to become a voter: %s",
		etcdserver.Promote:       "%s votes: %s",
		etcdserver.Remove:        "%s votes no more: %s",
		etcdserver.UpdatePeerURL: "the etcd of %s has another address: %s",
	}[step.Kind]
	// The step itself may cost etcd its leader for a moment.
	return true, v.Timeline.Record(term, cluster.Event{Kind: cluster.EventVoter, Machine: step.Machine, Time: now,
		Text: fmt.Sprintf(text, name, step.Reason)})
}

// writeSeats keeps the machines' records in line with etcd's members, which is how a
// machine learns that it was given a seat.
func (v *Voters) writeSeats(ctx context.Context, snap *cluster.Snapshot, members []etcdserver.Member) error {
	for id, m := range snap.Machines {
		seat := cluster.NoSeat
		for _, member := range members {
			switch {
			case member.Machine != id && (member.Machine != "" || member.PeerURL != m.EtcdPeerURL):
			case member.Learner:
				seat = cluster.Learner
			default:
				seat = cluster.Voter
			}
		}
		if seat == m.Seat {
			continue
		}
		err := v.Records.UpdateMachine(ctx, id, cluster.OfKnown(func(m *cluster.Machine) error {
			m.Seat = seat
			return nil
		}))
		if err != nil && !errors.Is(err, cluster.ErrNotFound) {
			return err
		}
	}
	return nil
}
