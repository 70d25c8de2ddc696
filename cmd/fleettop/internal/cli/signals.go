package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// signalled is why a run ended that a signal ended.
type signalled struct{ signal syscall.Signal }

func (s signalled) Error() string { return "ended by " + s.signal.String() }

// code is the exit code that shells know for it.
func (s signalled) code() int { return 128 + int(s.signal) }

// untilSignal returns a context that one of the signals ends, with it as the
// cause. Until stop is called the signals do nothing else.
func untilSignal(ctx context.Context, signals ...os.Signal) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	got := make(chan os.Signal, 1)
	signal.Notify(got, signals...)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case s := <-got:
			cancel(signalled{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-ended
		signal.Stop(got)
	}
}
