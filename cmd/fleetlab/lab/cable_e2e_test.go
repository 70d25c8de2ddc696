//go:build e2e

package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"
)

func TestCable(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	t.Run("goroutine", func(t *testing.T) { testCable(t, "testcable") })
	t.Run("process", func(t *testing.T) {
		testCable(t, "testcableproc", func(o *Options) { o.CableCommand = []string{self, "cable"} })
	})
}

func testCable(t *testing.T, name string, change ...func(*Options)) {
	l, ctx := newLab(t, name, 2, change...)
	m := l.Machines()[0]
	echoServer(t, ctx, m)
	answers(t, ctx, l, m)
	conn, err := l.Dial(ctx, "tcp", m.Name+":7")
	must(t, err)
	defer conn.Close()

	measure := func(n int) []time.Duration {
		t.Helper()
		var took []time.Duration
		for range n {
			d, err := echo(conn, 20*time.Second)
			must(t, err)
			took = append(took, d)
		}
		slices.Sort(took)
		return took
	}
	perfect := measure(21)

	// A connection made before lives on while the cable changes under it.
	must(t, m.Slow(50*time.Millisecond, 10*time.Millisecond))
	took := measure(21)
	if added := took[0] - perfect[0]; took[0] < 80*time.Millisecond || added > 160*time.Millisecond {
		t.Errorf("50 ± 10 ms each way add %v to the fastest round trip, expected 80 to 120 ms; before %v, with it %v", added,
			perfect, took)
	}
	t.Logf("round trip over 50 ± 10 ms each way: %v to %v, median %v", took[0], took[20], took[10])

	must(t, m.Cut())
	if _, err := roundTrip(ctx, l, m, 500*time.Millisecond); err == nil {
		t.Error("a cut slow cable carried something")
	}
	must(t, m.Heal())
	answers(t, ctx, l, m)

	must(t, m.Perfect())

	// No way around the cable, either way: with all lost, nothing arrives.
	if err := l.InSwitch(func() error { return passes(t, ctx, l, m, true) }); err != nil {
		t.Error(err)
	}
	must(t, m.Lossy(100))
	if err := l.InSwitch(func() error { return passes(t, ctx, l, m, false) }); err != nil {
		t.Error(err)
	}
	must(t, m.Perfect())
	answers(t, ctx, l, m)

	must(t, m.Lossy(30))
	lost := lostPings(t, ctx, l, m, 400)
	if lost < 154 || lost > 254 { // 51 % are to be lost, going or coming
		t.Errorf("%d of 400 round trips lost at 30 %% each way", lost)
	}
	t.Logf("%d of 400 round trips lost at 30 %% each way", lost)

	if name == "testcable" {
		_, err = m.Kill()
		must(t, err)
		must(t, m.Boot(ctx))
		must(t, m.WaitBooted(ctx))
		echoServer(t, ctx, m)
		answers(t, ctx, l, m)
		if lost := lostPings(t, ctx, l, m, 100); lost < 20 {
			t.Errorf("%d of 100 lost after a boot: the cable healed", lost)
		}
	}
	must(t, m.Perfect())
	if lost := lostPings(t, ctx, l, m, 100); lost > 2 {
		t.Errorf("%d of 100 lost on a perfect cable", lost)
	}
	q, err := m.Quality()
	if err != nil || q != (Quality{}) {
		t.Errorf("quality %v, %v", q, err)
	}

	// Whole windows and large segments pass a cable in user space unharmed.
	must(t, m.Slow(time.Millisecond, 0))
	echoServerIfGone(t, ctx, m)
	answers(t, ctx, l, m)
	bulk, err := l.Dial(ctx, "tcp", m.Name+":7")
	must(t, err)
	defer bulk.Close()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() { _, _ = bulk.Write(sent) }()
	got := make([]byte, len(sent))
	must(t, bulk.SetReadDeadline(time.Now().Add(30*time.Second)))
	_, err = io.ReadFull(bulk, got)
	must(t, err)
	if !bytes.Equal(got, sent) {
		t.Error("1 MiB did not come back as it was sent")
	}
}

func echoServerIfGone(t *testing.T, ctx context.Context, m *Machine) {
	t.Helper()
	if _, err := m.Exec(ctx, "systemctl", "is-active", "echo"); err != nil {
		echoServer(t, ctx, m)
	}
}

// passes fails unless datagrams of a machine reach the switch, or don't, as expected.
func passes(t *testing.T, ctx context.Context, l *Lab, m *Machine, expected bool) error {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: l.Gateway().AsSlice()})
	if err != nil {
		return err
	}
	defer conn.Close()
	_, port, err := net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		return err
	}
	run(t, ctx, m, "bash", "-c", "for i in {1..10}; do echo x >/dev/udp/switch/"+port+"; done")
	patience := 300 * time.Millisecond
	if expected {
		patience = 10 * time.Second
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := conn.Read(make([]byte, 10)); (err == nil) != expected {
		return fmt.Errorf("datagrams from %s to the switch: %v; want them to pass: %v", m.Name, err, expected)
	}
	return nil
}

// lostPings sends numbered datagrams to a machine's echo server, and counts
// those that don't come back.
func lostPings(t *testing.T, ctx context.Context, l *Lab, m *Machine, n int) int {
	t.Helper()
	conn, err := l.Dial(ctx, "udp", m.Name+":7")
	must(t, err)
	defer conn.Close()
	back := make([]bool, n)
	buffer := make([]byte, 10)
	for i := range n {
		_, err := conn.Write([]byte{byte(i), byte(i >> 8)})
		must(t, err)
		patience := 5 * time.Millisecond
		if i == n-1 {
			patience = time.Second // for those still under way
		}
		must(t, conn.SetReadDeadline(time.Now().Add(patience)))
		for {
			if _, err := conn.Read(buffer); err != nil {
				break
			}
			back[int(buffer[0])|int(buffer[1])<<8] = true
		}
	}
	lost := 0
	for _, ok := range back {
		if !ok {
			lost++
		}
	}
	return lost
}
