package membership

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

func listenLoopback(t *testing.T, ip string) (tr *transport, addr string) {
	t.Helper()
	tr, err := openTransport(ip, 0, slog.New(slog.DiscardHandler), func(netip.AddrPort, time.Time) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Shutdown() })
	return tr, net.JoinHostPort("127.0.0.1", strconv.Itoa(tr.port()))
}

func TestTransportPackets(t *testing.T) {
	a, addrA := listenLoopback(t, "127.0.0.1")
	b, addrB := listenLoopback(t, "0.0.0.0")
	// Each packet must be whole and stay as it was when later ones arrive.
	sent := [][]byte{[]byte("ping"), bytes.Repeat([]byte("x"), 60<<10), []byte("y")}
	got := make(chan *memberlist.Packet, len(sent))
	go func() {
		for range sent {
			got <- <-b.PacketCh()
		}
	}()
	for _, p := range sent {
		if _, err := a.WriteToAddress(p, memberlist.Address{Addr: addrB}); err != nil {
			t.Fatal(err)
		}
	}
	var packets []*memberlist.Packet
	for range sent {
		select {
		case p := <-got:
			packets = append(packets, p)
		case <-time.After(60 * time.Second):
			t.Fatal("a packet did not arrive")
		}
	}
	for i, p := range packets {
		if !bytes.Equal(p.Buf, sent[i]) {
			t.Errorf("packet %d: %d bytes, sent %d", i, len(p.Buf), len(sent[i]))
		}
		if p.From.String() != addrA {
			t.Errorf("packet %d is from %s, not %s", i, p.From, addrA)
		}
	}
}

func TestTransportStreams(t *testing.T) {
	a, _ := listenLoopback(t, "127.0.0.1")
	b, addrB := listenLoopback(t, "127.0.0.1")
	out, err := a.DialTimeout(addrB, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(out, "state"); err != nil {
		t.Fatal(err)
	}
	out.Close()
	in := <-b.StreamCh()
	defer in.Close()
	if text, err := io.ReadAll(in); err != nil || string(text) != "state" {
		t.Errorf("read %q, %v", text, err)
	}
}

// TestTransportShutdown ends a transport whose packets and streams nobody takes.
func TestTransportShutdown(t *testing.T) {
	a, addr := listenLoopback(t, "127.0.0.1")
	for range 3 {
		if _, err := a.WriteTo([]byte("lost"), addr); err != nil {
			t.Fatal(err)
		}
		conn, err := a.DialTimeout(addr, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Shutdown() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(60 * time.Second):
		t.Fatal("Shutdown hangs")
	}
	if _, err := a.DialTimeout(addr, time.Second); err == nil {
		t.Error("it still accepts streams")
	}
}

func TestTransportAdvertises(t *testing.T) {
	one, _ := listenLoopback(t, "127.0.0.1")
	for _, c := range []struct {
		ip   string
		port int
		want string
	}{
		{"", 0, "127.0.0.1:" + strconv.Itoa(one.port())},
		{"", 1234, "127.0.0.1:1234"},
		{"192.0.2.7", 0, "192.0.2.7:" + strconv.Itoa(one.port())},
		{"2001:db8::7", 99, "[2001:db8::7]:99"},
	} {
		ip, port, err := one.FinalAdvertiseAddr(c.ip, c.port)
		if got := net.JoinHostPort(ip.String(), strconv.Itoa(port)); err != nil || got != c.want {
			t.Errorf("%q and %d are advertised as %s, %v, not %s", c.ip, c.port, got, err, c.want)
		}
	}
	if _, _, err := one.FinalAdvertiseAddr("n1", 0); err == nil {
		t.Error("a name is no address")
	}
}
