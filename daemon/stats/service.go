package stats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/view"
	"fleettop/units"
)

// Peers reaches the other machines.
type Peers interface {
	Client(machineID string) (*client.Client, error)
}

// Health is the daemon's verdict on machines.
type Health interface {
	Health() map[string]cluster.Health
	Changed() <-chan struct{}
}

// Config is what a Service works with.
type Config struct {
	Self string
	// User tells that the units are those of this user's own systemd.
	User   bool
	View   *view.View
	Health Health
	Peers  Peers
	Log    *slog.Logger
}

// Service serves figures. It implements server.StatsKeeper. Goroutines end with the requests
// they are for; Run keeps the history.
type Service struct {
	cfg       Config
	collector *Collector
	history   history
}

// New returns a Service.
func New(cfg Config) *Service {
	s := &Service{cfg: cfg}
	s.collector = NewCollector(cfg.Self, s.units)
	if cfg.User {
		s.collector.host.user = fmt.Sprintf("user@%d.service", os.Getuid())
	}
	return s
}

// units are this machine's, as far as the view knows them.
func (s *Service) units() []units.Status {
	snap, _, _, _ := s.cfg.View.LastKnown()
	if snap == nil {
		return nil
	}
	var list []units.Status
	for k, st := range snap.Statuses {
		if k.Machine == s.cfg.Self {
			list = append(list, st.Status)
		}
	}
	return list
}

// Stats implements server.StatsKeeper.
func (s *Service) Stats(ctx context.Context, local, follow bool, emit func(api.Stats) error) error {
	lease := s.cfg.View.Hold()
	defer lease.Release()
	waitCtx, cancel := context.WithTimeout(ctx, time.Second)
	_, _, _ = lease.Reach(waitCtx, 0) // without it the machine is measured alone
	cancel()
	if local {
		return s.local(ctx, follow, emit)
	}
	ctx, cancel = context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	lines := make(chan api.Stats)
	ended := make(chan string)
	asked := map[string]context.CancelFunc{}
	told := map[string]bool{}
	var judged <-chan struct{}
	look := func() {
		judged = s.cfg.Health.Changed() // before the verdicts are read, so that no change is missed
		alive := s.alive()
		for id := range alive {
			if asked[id] != nil || !follow && told[id] {
				continue
			}
			askCtx, stop := context.WithCancel(ctx)
			asked[id] = stop
			wg.Go(func() {
				s.ask(askCtx, id, follow, lines)
				select {
				case ended <- id:
				case <-ctx.Done():
				}
			})
		}
		for id, stop := range asked {
			if !alive[id] {
				stop()
			}
		}
	}
	look()
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case st := <-lines:
			told[st.Machine] = true
			if err := emit(st); err != nil {
				return err
			}
		case id := <-ended:
			asked[id]()
			delete(asked, id)
			if !follow && len(asked) == 0 {
				return nil
			}
		case <-judged:
			if judged = nil; follow {
				look()
			}
		case <-tick.C:
			if follow {
				look()
			}
		}
	}
}

// alive are the machines that can be asked.
func (s *Service) alive() map[string]bool {
	ids := map[string]bool{s.cfg.Self: true}
	for id, h := range s.cfg.Health.Health() {
		if h.State.Runs() {
			ids[id] = true
		}
	}
	return ids
}

// askWithin is how long a machine may take for its only answer.
const askWithin = 5 * time.Second

// ask passes on what a machine tells until it can't any more, or once.
func (s *Service) ask(ctx context.Context, id string, follow bool, lines chan<- api.Stats) {
	enough := errors.New("enough")
	take := func(st api.Stats) error {
		select {
		case lines <- st:
		case <-ctx.Done():
			return ctx.Err()
		}
		if !follow {
			return enough
		}
		return nil
	}
	if !follow {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, askWithin)
		defer cancel()
	}
	var err error
	if id == s.cfg.Self {
		err = s.local(ctx, follow, take)
	} else {
		var client *client.Client
		if client, err = s.cfg.Peers.Client(id); err == nil {
			err = client.LocalStats(ctx, take)
		}
	}
	if err != nil && !errors.Is(err, enough) && ctx.Err() == nil {
		s.cfg.Log.Debug("a machine tells no figures", "machine", id, "error", err)
	}
}

// local measures this machine.
func (s *Service) local(ctx context.Context, follow bool, emit func(api.Stats) error) error {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		st, err := s.collector.Sample()
		if err == nil {
			err = emit(st)
		}
		if err != nil || !follow {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
