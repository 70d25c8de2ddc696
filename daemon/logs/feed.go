package logs

import (
	"context"
	"errors"
	"sync"
	"time"

	"fleettop/daemon/api"
	"fleettop/journal"
	"fleettop/units/retry"
)

const (
	// feedMost is how many batches of a machine may wait to be merged.
	feedMost = 64
	// answerWithin is how long a machine may take to say something before the
	// others go on without it.
	answerWithin = 5 * time.Second
	retryLeast   = 100 * time.Millisecond
	retryMost    = 2 * time.Second
)

// feed is what one machine has to say, for one viewer.
type feed struct {
	machine string
	units   []string
	o       api.JournalOptions // Local, and where to begin
	room    chan struct{}      // a token for each batch that waits
	cancel  context.CancelFunc

	// Of the conductor.
	key     string    // of the merger's stream
	began   time.Time // to be given up waiting for
	live    bool      // has told its past, or is not waited for
	dropped bool      // nothing it says counts any more
	back    bool      // its machine was gone and is back
	late    bool      // is asked for what it could not tell when it went; false once that was said
	left    time.Time // when the units were gone from it
}

// news is what a feed tells its conductor.
type news struct {
	f     *feed
	lines []journal.Entry
	ended bool  // nothing more comes
	err   error // why
}

// start runs a feed until it has ended, which is its last news.
func (c *conductor) start(ctx context.Context, wg *sync.WaitGroup, f *feed) {
	ctx, f.cancel = context.WithCancel(ctx)
	f.room = make(chan struct{}, feedMost)
	wg.Go(func() {
		delay := retry.NewDelay(retryLeast, retryMost)
		for {
			told, err := c.once(ctx, f)
			if ctx.Err() != nil {
				err = nil
			}
			var refused *api.Error
			again := f.o.Follow && ctx.Err() == nil && (told || !errors.As(err, &refused))
			if !again {
				c.tell(news{f: f, ended: true, err: err})
				return
			}
			if told {
				delay.Reset()
			}
			c.s.cfg.Log.Debug("a machine's log broke off; going on with it", "machine", f.machine, "error", err)
			delay.Wait(ctx)
		}
	})
}

// once asks the machine, from where it was left.
func (c *conductor) once(ctx context.Context, f *feed) (told bool, err error) {
	take := func(list []journal.Entry) error {
		told = true
		for _, l := range list {
			if l.Cursor != "" {
				f.o.After = map[string]string{f.machine: string(l.Cursor)}
			}
		}
		select {
		case f.room <- struct{}{}:
			return c.tell(news{f: f, lines: list})
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if f.machine == c.s.cfg.Self {
		err := c.s.local(ctx, f.units, f.o, take)
		if err != nil && !told && ctx.Err() == nil { // as another machine would answer it
			err = &api.Error{Code: api.CodeUnavailable, Message: err.Error()}
		}
		return told, err
	}
	client, err := c.s.cfg.Peers.Client(f.machine)
	if err != nil {
		return false, err
	}
	o := f.o
	o.Units = f.units
	return told, client.JournalBatches(ctx, o, take)
}

// tell hands news to the conductor, or gives up with it.
func (c *conductor) tell(n news) error {
	select {
	case c.news <- n:
		return nil
	case <-c.gone:
		return errGone
	}
}

var errGone = errors.New("nobody reads any more")
