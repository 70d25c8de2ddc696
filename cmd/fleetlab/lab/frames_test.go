package lab

import (
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestLane(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := Quality{Delay: time.Duration(rapid.IntRange(0, 1000).Draw(t, "delay")) * time.Millisecond}
		q.Jitter = time.Duration(rapid.Int64Range(0, int64(q.Delay)).Draw(t, "jitter"))
		l := &lane{quality: q, chance: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))}
		now, last := time.Unix(0, 0), time.Time{}
		for range 50 {
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "pause")) * time.Millisecond)
			at, lost := l.arrival(now)
			if lost {
				t.Fatal("lost on a cable without loss")
			}
			if at.Before(last) {
				t.Fatalf("arrives at %v, before the one before at %v", at, last)
			}
			if took := at.Sub(now); took < q.Delay-q.Jitter || (took > q.Delay+q.Jitter && at != last) {
				t.Fatalf("took %v over a cable of %v", took, q)
			}
			last = at
		}
	})
}

func TestLaneLoses(t *testing.T) {
	for _, percent := range []float64{0, 1, 25, 100} {
		l := &lane{quality: Quality{Loss: percent}, chance: rand.New(rand.NewPCG(1, 2))}
		const frames = 100_000
		lost := 0
		for range frames {
			if _, gone := l.arrival(time.Time{}); gone {
				lost++
			}
		}
		if share := float64(lost) * 100 / frames; share < percent*0.9 || share > percent*1.1 {
			t.Errorf("lost %v %% of the frames, want %v %%", share, percent)
		}
	}
}

func TestQualityCheck(t *testing.T) {
	for _, q := range []Quality{{Delay: -1}, {Delay: 1, Jitter: 2}, {Delay: time.Hour}, {Loss: 101}, {Loss: -1}} {
		if err := q.check(); err == nil || !strings.Contains(err.Error(), "use") {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

func TestCableArguments(t *testing.T) {
	want := Quality{Delay: 1500 * time.Microsecond, Jitter: time.Millisecond, Loss: 12.5}
	got, err := parseCable(cableArgs(want))
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range [][]string{{"-loss", "x"}, {"-what"}, {"-loss", "200"}} {
		if _, err := parseCable(bad); err == nil {
			t.Errorf("parsed %v", bad)
		}
	}
}

// wirePair returns two ends of a wire that keeps frames apart, as a TAP does.
func wirePair(t *testing.T) (a, b *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, b = os.NewFile(uintptr(fds[0]), "a"), os.NewFile(uintptr(fds[1]), "b")
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestCarryFrames(t *testing.T) {
	bridge, tap := wirePair(t)
	machine, nic := wirePair(t)
	ended := make(chan error, 1)
	const delay = 30 * time.Millisecond
	go func() { ended <- CarryFrames(tap, nic, Quality{Delay: delay}) }()
	frames := []string{"one", "two", strings.Repeat("x", 1500)}
	for _, way := range [][2]*os.File{{bridge, machine}, {machine, bridge}} {
		sent := time.Now()
		for _, f := range frames {
			if _, err := way[0].WriteString(f); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		buffer := make([]byte, frameSize)
		for range frames {
			if err := way[1].SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err := way[1].Read(buffer)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(buffer[:n]))
		}
		if !slices.Equal(got, frames) {
			t.Errorf("carried %q", got)
		}
		if took := time.Since(sent); took < delay {
			t.Errorf("took %v, less than %v", took, delay)
		}
	}
	// What is under way when the TAP goes doesn't hold the cable up.
	if _, err := machine.WriteString("late"); err != nil {
		t.Fatal(err)
	}
	bridge.Close()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the cable didn't end with its TAP")
	}
}
