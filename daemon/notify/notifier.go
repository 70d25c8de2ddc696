package notify

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/units/retry"
)

const (
	// gather is how long more events are waited for, to be told together.
	gather     = 300 * time.Millisecond
	againLeast = time.Second
	againMost  = 2 * time.Minute
	noteLimit  = 5 * time.Second
	// lastWords is how long what is on its way may take when the leadership ends:
	// the next leader would else send it again.
	lastWords   = 2 * time.Second
	oldestTold  = 24 * time.Hour // what couldn't be delivered for so long is dropped
	watchLeast  = 200 * time.Millisecond
	watchMost   = 5 * time.Second
	gatherTimes = 10 // gather at most so often, while events keep coming
)

// Store is the part of cluster.Store that a Notifier uses.
type Store interface {
	Watch(ctx context.Context, scope cluster.Scope) (*cluster.Snapshot, <-chan cluster.Change, error)
	EventsAfter(ctx context.Context, after, upTo int64) ([]cluster.Event, error)
	Told(ctx context.Context, receiver string) (int64, error)
	SetTold(ctx context.Context, receiver string, revision int64) error
}

// View is the cluster's state as far as it is known.
type View interface {
	LastKnown() (snap *cluster.Snapshot, live bool, at time.Time, changed <-chan struct{})
}

// Config says who is told, and from what.
type Config struct {
	Self      string // ID of this machine
	Receivers []*Receiver
	Store     Store
	View      View
	Log       *slog.Logger
}

// Notifier tells the receivers of this daemon. Call New.
type Notifier struct{ cfg Config }

// New returns a Notifier.
func New(cfg Config) *Notifier { return &Notifier{cfg} }

// Lead tells the receivers what happens until ctx ends, and what happened since
// each was told last. Only the leader does it. It returns nil.
func (n *Notifier) Lead(ctx context.Context) error {
	var telling sync.WaitGroup
	for _, r := range n.cfg.Receivers {
		telling.Go(func() { n.keepTelling(ctx, r) })
	}
	telling.Wait()
	<-ctx.Done()
	return nil
}

// keepTelling tells one receiver, from one watch of the timeline after the other.
func (n *Notifier) keepTelling(ctx context.Context, r *Receiver) {
	delay := retry.NewDelay(watchLeast, watchMost)
	for ctx.Err() == nil {
		if err := n.tellFrom(ctx, r, delay.Reset); err != nil && ctx.Err() == nil {
			n.cfg.Log.Debug("the timeline can't be followed for a receiver of notices; trying again", "receiver", r.name,
				"error", err)
		}
		delay.Wait(ctx)
	}
}

// tellFrom tells a receiver what it wasn't told yet, and then what comes, until the watch ends.
func (n *Notifier) tellFrom(ctx context.Context, r *Receiver, works func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	snap, changes, err := n.cfg.Store.Watch(ctx, cluster.Scope{Machine: n.cfg.Self, Events: true})
	if err != nil {
		return err
	}
	told, err := n.cfg.Store.Told(ctx, r.id)
	if err != nil {
		return err
	}
	works()
	if told == 0 { // it is new, and is told what happens from here on
		return errors.Join(n.note(ctx, r, snap.Revision), n.follow(ctx, r, changes))
	}
	missed, err := n.cfg.Store.EventsAfter(ctx, told, snap.Revision)
	if err != nil {
		return err
	}
	if err := n.tell(ctx, r, missed, snap.Revision); err != nil {
		return err
	}
	return n.follow(ctx, r, changes)
}

// follow tells a receiver what a watch sees, until it ends.
func (n *Notifier) follow(ctx context.Context, r *Receiver, changes <-chan cluster.Change) error {
	for c := range changes {
		if len(c.Events) == 0 {
			continue
		}
		for range gatherTimes {
			more, ok := nextWithin(changes, gather)
			if !ok {
				break
			}
			c = c.Then(more)
		}
		if err := n.tell(ctx, r, c.Events, c.Revision); err != nil {
			return err
		}
	}
	return errors.New("the watch ended")
}

// nextWithin returns the next change with events, if one comes within a time.
func nextWithin(changes <-chan cluster.Change, limit time.Duration) (cluster.Change, bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case c, ok := <-changes:
			if !ok || len(c.Events) > 0 {
				return c, ok
			}
		case <-timer.C:
			return cluster.Change{}, false
		}
	}
}

// tell delivers what is to be told of events, and notes the revision of the last
// of them. It blocks until the receiver has taken all of it; the error is ctx's or the store's.
func (n *Notifier) tell(ctx context.Context, r *Receiver, events []cluster.Event, revision int64) error {
	id, names := n.known()
	for _, notice := range notices(events, id, names) {
		if err := n.deliver(ctx, r, notice); err != nil {
			return err
		}
	}
	return n.note(ctx, r, revision)
}

func (n *Notifier) note(ctx context.Context, r *Receiver, revision int64) error {
	// What was delivered is noted also where the leadership has just ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteLimit)
	defer cancel()
	return n.cfg.Store.SetTold(ctx, r.id, revision)
}

// known returns the cluster's ID and the names of its machines.
func (n *Notifier) known() (clusterID string, names map[string]string) {
	snap, _, _, _ := n.cfg.View.LastKnown()
	if snap == nil {
		return "", nil
	}
	names = make(map[string]string, len(snap.Machines))
	for id, m := range snap.Machines {
		names[id] = m.Label()
	}
	return snap.ClusterID, names
}

// deliver sends a notice until the receiver has it, says that it will never take
// it, or the notice is too old. The error is ctx's.
func (n *Notifier) deliver(ctx context.Context, r *Receiver, notice Notice) error {
	delay := retry.NewDelay(againLeast, againMost)
	failing := 0
	for {
		if time.Since(notice.Time) > oldestTold {
			n.cfg.Log.Warn("a notice is a day old and was not delivered; it is dropped", "receiver", r.name, "notice", notice.Text)
			return nil
		}
		err := r.sendOut(ctx, notice)
		var rejected *rejectedError
		switch {
		case err == nil:
			if failing > 0 {
				n.cfg.Log.Info("the receiver of notices takes them again", "receiver", r.name, "tries", failing+1)
			}
			return nil
		case errors.As(err, &rejected):
			n.cfg.Log.Warn("the receiver of notices refused one, which is dropped: check the URL and its format",
				"receiver", r.name, "notice", notice.Text, "answer", err)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case failing == 0:
			n.cfg.Log.Warn("a notice could not be delivered; trying again until it is a day old: see what the receiver "+
				"says, and try `fleettop notify test`", "receiver", r.name, "error", err)
		}
		failing++
		if !delay.Wait(ctx) {
			return ctx.Err()
		}
	}
}

// sendOut sends a notice. It blocks for lastWords at most after ctx has ended.
func (r *Receiver) sendOut(ctx context.Context, n Notice) error {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		retry.Pause(out, lastWords)
		cancel()
	})()
	return r.send(out, n)
}

// SendTest sends a test to every receiver of this daemon at once, and returns what
// became of each. It blocks until all have answered, half a minute at most.
func (n *Notifier) SendTest(ctx context.Context, by string) *api.NotifyReport {
	id, names := n.known()
	var unique [8]byte
	rand.Read(unique[:])
	notice := Notice{ID: "test-" + hex.EncodeToString(unique[:]), Time: time.Now(), Cluster: id, Kind: Test,
		Severity: severities[Test], Machine: names[n.cfg.Self],
		Text: fmt.Sprintf("This is a test of fleettop's notices, sent by %s for %s", names[n.cfg.Self], by)}
	report := &api.NotifyReport{Receivers: make([]api.NotifyResult, len(n.cfg.Receivers))}
	var sending sync.WaitGroup
	for i, r := range n.cfg.Receivers {
		sending.Go(func() {
			began, result := time.Now(), api.NotifyResult{Receiver: r.name}
			if err := r.send(ctx, notice); err != nil {
				result.Error = err.Error()
			}
			result.Seconds = time.Since(began).Seconds()
			report.Receivers[i] = result
		})
	}
	sending.Wait()
	return report
}
