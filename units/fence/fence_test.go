package fence

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

const patience = 30 * time.Second

// standing is a fence that runs, and what it told the init system.
type standing struct {
	dir   string
	ended chan error
	over  time.Duration // when it ended, to be read after ended

	mu   sync.Mutex
	told []string
}

func raise(t *testing.T, until time.Duration) *standing {
	t.Helper()
	f := &standing{dir: t.TempDir(), ended: make(chan error, 1)}
	if err := Arm(f.dir, until); err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		err := Serve(ctx, f.dir, func(state string) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.told = append(f.told, state)
			if state == "READY=1" {
				close(ready)
			}
		})
		f.over = Now()
		f.ended <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-f.ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-f.ended:
		t.Fatalf("it ended with %v", err)
	}
	return f
}

// end waits for the end of the fence.
func (f *standing) end(t *testing.T, wanted error) {
	t.Helper()
	select {
	case err := <-f.ended:
		if !errors.Is(err, wanted) {
			t.Errorf("it ended with %v, want %v", err, wanted)
		}
		f.ended <- nil
	case <-time.After(patience):
		t.Fatal("it doesn't end")
	}
}

func TestFenceEndsAtItsDeadline(t *testing.T) {
	begin := Now()
	f := raise(t, begin+time.Second)
	first, err := Extend(t.Context(), f.dir, begin+1500*time.Millisecond)
	if err != nil || first == "" {
		t.Fatalf("extended: %q, %v", first, err)
	}
	again, err := Extend(t.Context(), f.dir, begin+100*time.Millisecond) // an answer that came late
	if err != nil || again != first {
		t.Errorf("extended: %q, %v; was %q", again, err, first)
	}
	f.end(t, ErrLapsed)
	if late := f.over - begin - 1500*time.Millisecond; late < 0 || late > time.Second {
		t.Errorf("it ended %v after its deadline", late)
	}
	if _, err := Extend(t.Context(), f.dir, Now()+time.Hour); !errors.Is(err, ErrDown) {
		t.Errorf("extended after its end: %v", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.told) != 3 || !strings.HasPrefix(f.told[0], "WATCHDOG=1\nWATCHDOG_USEC=") || f.told[1] != "READY=1" {
		t.Errorf("it told %q", f.told)
	}
}

func TestFenceIsLimitedAndLowered(t *testing.T) {
	f := raise(t, Now()+time.Hour)
	id, err := Limit(t.Context(), f.dir, Now()+time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Limit(t.Context(), f.dir, Now()+time.Hour); err != nil || again != id {
		t.Errorf("limited: %q, %v", again, err)
	}
	f.mu.Lock()
	if len(f.told) != 3 {
		t.Errorf("it told %q; want one more than at its beginning", f.told)
	}
	f.mu.Unlock()
	if err := Lower(t.Context(), f.dir); err != nil {
		t.Fatal(err)
	}
	f.end(t, nil)
	if err := Lower(t.Context(), f.dir); !errors.Is(err, ErrDown) {
		t.Errorf("lowered twice: %v", err)
	}
}

func TestFenceMustBeArmed(t *testing.T) {
	dir := t.TempDir()
	silent := func(state string) { t.Errorf("it told %q", state) }
	if err := Serve(t.Context(), dir, silent); err == nil {
		t.Error("it stands without a deadline")
	}
	if err := Arm(dir, Now()-1); err != nil {
		t.Fatal(err)
	}
	if err := Serve(t.Context(), dir, silent); !errors.Is(err, ErrLapsed) {
		t.Errorf("it stands after its deadline: %v", err)
	}
	if _, err := Extend(t.Context(), dir, Now()+time.Hour); !errors.Is(err, ErrDown) {
		t.Errorf("extended without a fence: %v", err)
	}
}
