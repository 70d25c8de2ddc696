package etcdserver

import (
	"context"
	"net"
	"testing"
	"time"
)

// TestLinesKeep drops the connections to endpoints that are no longer wanted, and no others.
func TestLinesKeep(t *testing.T) {
	var lines ConnTracker
	conns := map[string]net.Conn{}
	var hosts []string
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		host := l.Addr().String()
		hosts = append(hosts, host)
		if conns[host], err = lines.dial(context.Background(), host); err != nil {
			t.Fatal(err)
		}
		defer conns[host].Close()
	}
	open := func(host string) bool {
		if err := conns[host].SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			return false
		}
		_, err := conns[host].Read(make([]byte, 1))
		timeout, ok := err.(net.Error)
		return ok && timeout.Timeout()
	}
	conns[hosts[2]].Close() // by its owner
	lines.Keep([]string{"https://" + hosts[1], "http://127.0.0.1:1"})
	if open(hosts[0]) || !open(hosts[1]) {
		t.Errorf("the first is open: %v, the second: %v", open(hosts[0]), open(hosts[1]))
	}
	if len(lines.open) != 1 {
		t.Errorf("%d connections are kept", len(lines.open))
	}
	var none *ConnTracker
	conn, err := none.dial(context.Background(), hosts[0])
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
