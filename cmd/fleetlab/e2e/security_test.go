//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
	"fleettop/daemon/keys"
)

// viewGroup is the ID of the group fleettop-view on lab machines.
const viewGroup = "989"

// asViewer is how a user runs a program who is in that group, and in no other.
var asViewer = []string{"setpriv", "--reuid=12345", "--regid=12345", "--groups=" + viewGroup}

// knock asks a machine's port for a path, as a client with this TLS, or in clear.
func (f *fleet) knock(m *lab.Machine, port int, path string, cfg *tls.Config) error {
	f.t.Helper()
	scheme := "https"
	if cfg == nil {
		scheme = "http"
	}
	transport := &http.Transport{DialContext: f.lab.Dial, DisableKeepAlives: true, TLSClientConfig: cfg}
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	resp, err := client.Get(fmt.Sprintf("%s://%s:%d%s", scheme, m.IP, port, path))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("it answered %s: %.100s", resp.Status, body)
	}
	return nil
}

// stolen is TLS with the certificate that a machine has now, and trust in everybody.
func (f *fleet) stolen(m *lab.Machine) *tls.Config {
	f.t.Helper()
	cert, err := m.ReadFile("/run/fleettop/tls/cert.pem")
	f.must(err)
	key, err := m.ReadFile("/run/fleettop/tls/key.pem")
	f.must(err)
	pair, err := tls.X509KeyPair(cert, key)
	f.must(err)
	return &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}
}

// doors are what a machine answers on to those that are let in.
var doors = []struct {
	name string
	port int
	path string
}{{"etcd's client port", 7372, "/version"}, {"etcd's peer port", 7373, "/members"}, {"the API", 7374, "/v1/machines"}}

func TestStrangersStayOut(t *testing.T) {
	f := newFleet(t, 4, setup{idle: true})
	ours, stranger := f.machines[:3], f.machines[3]
	f.must(ours[0].StartFleettop(f.ctx))
	for _, m := range ours[1:] {
		f.must(m.StartFleettop(f.ctx))
	}
	f.settled(ours...)

	// Without a key it doesn't even start, and says why.
	f.on(stranger, "rm", keys.DefaultFile)
	if err := stranger.StartFleettop(f.ctx); err == nil {
		t.Error("a daemon without a key started on the network")
	}
	log, err := stranger.Journal(f.ctx, lab.UnitName)
	f.must(err)
	if !strings.Contains(log, "fleettop key generate") || !strings.Contains(log, "join-command") {
		t.Errorf("it doesn't say what to do:\n%s", log)
	}

	// With a key of its own it is a cluster of its own.
	f.verb(stranger, "key", "generate")
	f.on(stranger, "systemctl", "reset-failed", lab.UnitName)
	f.must(stranger.StartFleettop(f.ctx))
	f.eventually("the stranger to be refused", soon, func() error {
		log, err := stranger.Journal(f.ctx, lab.UnitName)
		if err == nil && !strings.Contains(log, "its cluster key is another") {
			err = errors.New("it doesn't say that it is refused")
		}
		return err
	})
	foreign, own := f.stolen(stranger), f.stolen(ours[1])
	for _, d := range doors {
		for name, cfg := range map[string]*tls.Config{"in clear": nil, "without a certificate": {InsecureSkipVerify: true},
			"with another cluster's certificate": foreign} {
			if err := f.knock(ours[0], d.port, d.path, cfg); err == nil {
				t.Errorf("%s answers %s", d.name, name)
			}
		}
		if err := f.knock(ours[0], d.port, d.path, own); err != nil {
			t.Errorf("%s refuses a machine of the cluster: %v", d.name, err)
		}
	}
	f.throughout("the cluster to keep to itself", 2*time.Second, func() error {
		list, err := f.client(ours[0]).Machines(f.ctx)
		if err == nil && len(list.Machines) != len(ours) {
			err = fmt.Errorf("%d machines", len(list.Machines))
		}
		return err
	})
	log, err = ours[0].Journal(f.ctx, lab.UnitName)
	f.must(err)
	for _, want := range []string{"listener=gossip source=" + stranger.IP.String(), "listener=API source=" +
		f.lab.Gateway().String(), "listener=etcd source=" + f.lab.Gateway().String()} {
		if n := strings.Count(log, want); n != 1 {
			t.Errorf("the log has %q %d times, want once", want, n)
		}
	}

	// A line of join-command makes it one of the cluster.
	f.must(stranger.StopFleettop(f.ctx))
	f.on(stranger, "rm", "-rf", "/var/lib/fleettop", keys.DefaultFile)
	line := strings.Fields(strings.TrimPrefix(f.verb(ours[2], "join-command"), "sudo "))
	f.on(stranger, line...)
	f.settled(f.machines...)
	if code, said := f.refusal(stranger, line[1:]...); code == 0 || !strings.Contains(said, "used already") {
		t.Errorf("the line works twice: %d %s", code, said)
	}
	for _, m := range f.machines {
		log, err := m.Journal(f.ctx, lab.UnitName)
		f.must(err)
		if strings.Contains(log, line[3]) {
			t.Errorf("the log of %s shows the token", m.Name)
		}
	}
}

func TestKeyIsRotatedUnderWay(t *testing.T) {
	f := newFleet(t, 3, setup{})
	f.start(f.machines[0], sleepers("a.service", "b.service", "c.service"))
	began := time.Now()
	old := f.stolen(f.machines[2])
	f.verb(f.machines[1], "key", "rotate")
	t.Logf("rotated in %.1f s", time.Since(began).Seconds())
	f.settled(f.machines...)
	f.still(f.machines[0], began)
	for _, d := range doors {
		if err := f.knock(f.machines[0], d.port, d.path, old); err == nil {
			t.Errorf("%s takes a certificate of the key that was dropped", d.name)
		}
		if err := f.knock(f.machines[0], d.port, d.path, f.stolen(f.machines[2])); err != nil {
			t.Errorf("%s refuses one of the new key: %v", d.name, err)
		}
	}
	// The others start with the new key, too.
	_, err := f.machines[2].Kill()
	f.must(err)
	f.must(f.machines[2].Boot(f.ctx))
	f.must(f.machines[2].WaitBooted(f.ctx))
	f.settled(f.machines...)
}

func TestViewersOnlyLook(t *testing.T) {
	f := newFleet(t, 1, setup{})
	m := f.machines[0]
	files := f.write(m, map[string]string{"a.service": sleeper()})
	f.verb(m, "start", files[0])
	as := func(who []string, args ...string) (string, error) {
		out, err := m.Exec(f.ctx, append(append(who[:len(who):len(who)], "fleettop"), args...)...)
		if failed, ok := errors.AsType[*lab.ExecError](err); ok {
			out += failed.Stderr
		}
		return out, err
	}
	for _, args := range [][]string{{"list-units"}, {"list-unit-files"}, {"list-machines"}, {"status", "a.service"},
		{"cat", "a.service"}, {"explain", "a.service"},
		{"events"}, {"key", "list"}, {"journal", "a.service"}} {
		if out, err := as(asViewer, args...); err != nil {
			t.Errorf("a viewer can't %v: %v\n%s", args, err, out)
		}
	}
	began := time.Now()
	acts := [][]string{{"submit", files[0]}, {"load", "a.service"}, {"start", "a.service"}, {"stop", "a.service"},
		{"unload", "a.service"}, {"restart", "a.service"}, {"destroy", "a.service"},
		{"cordon", m.Name}, {"uncordon", m.Name}, {"drain", m.Name}, {"forget", m.Name}, {"leave"}, {"key", "rotate"}, {"key",
			"rotate", "--finish"}, {"join-command"}}
	for _, args := range acts {
		if out, err := as(asViewer, args...); err == nil || !strings.Contains(out, "viewer") {
			t.Errorf("a viewer may %v: %v\n%s", args, err, out)
		}
	}
	refused := 0
	for _, e := range f.events(m, began) {
		if e.Kind == cluster.EventRefused && e.By == "uid 12345" {
			refused++
		}
	}
	if refused < 5 { // several verbs share a path
		t.Errorf("%d refusals are in the timeline", refused)
	}
	f.still(m, began)
	if got := f.show(m, "a.service", "ActiveState"); got != "active" {
		t.Errorf("a.service is %s", got)
	}
	if out, err := as([]string{"setpriv", "--reuid=12346", "--regid=12346", "--clear-groups"}, "list-units"); err == nil ||
		!strings.Contains(out, "permission denied") {
		t.Errorf("somebody of no group may look: %v\n%s", err, out)
	}
	for _, args := range [][]string{{"cat", keys.DefaultFile}, {"cat", "/run/fleettop/tls/key.pem"},
		{"ls", "/var/lib/fleettop"}} {
		f.on(m, args...)
		if _, err := m.Exec(f.ctx, append(asViewer[:len(asViewer):len(asViewer)], args...)...); err == nil {
			t.Errorf("a viewer may %v", args)
		}
	}
}

// TestNothingGoesInClear listens on the switch while a unit with a telling
// name is submitted, started, moved, and its log read from another machine.
func TestNothingGoesInClear(t *testing.T) {
	const name, words, canary = "secretive-name-4711", "words-nobody-should-read-0815", "canary-that-everybody-may-hear"
	f := newFleet(t, 3, setup{})
	tap := newTap(f, name, words, canary)
	unit := name + ".service"
	f.start(f.machines[0], map[string]string{unit: "[Service]\nExecStart=/bin/sh -c 'while echo " + words +
		"; do sleep 0.2; done'\n[X-Fleet]\nMachineID=" + f.machines[1].MachineID + "\n"})
	f.eventually("its log on another machine", soon, func() error {
		out, err := f.machines[2].Exec(f.ctx, "fleettop", "journal", "--lines=20", unit)
		if err == nil && !strings.Contains(out, words) {
			err = fmt.Errorf("no such line in %q", out)
		}
		return err
	})
	f.verb(f.machines[2], "list-units")
	f.verb(f.machines[2], "destroy", unit)
	conn, err := f.lab.Dial(f.ctx, "udp", f.machines[0].IP.String()+":9")
	f.must(err)
	defer conn.Close()
	f.eventually("the canary on the tap", soon, func() error {
		if _, err := conn.Write([]byte(canary)); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
			return err
		}
		if tap.heard(canary) == 0 {
			return errors.New("not heard")
		}
		return nil
	})
	if frames := tap.frames.Load(); frames < 200 {
		t.Errorf("only %d frames were seen", frames)
	}
	for _, secret := range []string{name, words} {
		if n := tap.heard(secret); n > 0 {
			t.Errorf("%q went over the wire in clear, in %d frames", secret, n)
		}
	}
}

// tap counts the frames on the lab's switch, and those in which some words are.
type tap struct {
	frames atomic.Int64
	words  map[string]*atomic.Int64
}

func newTap(f *fleet, words ...string) *tap {
	f.t.Helper()
	t := &tap{words: map[string]*atomic.Int64{}}
	for _, w := range words {
		t.words[w] = &atomic.Int64{}
	}
	var socket *os.File
	f.must(f.lab.InSwitch(func() error {
		const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network byte order
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, all)
		if err != nil {
			return fmt.Errorf("listen on the switch: %w", err)
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
		socket = os.NewFile(uintptr(fd), "switch")
		return nil
	}))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1<<16)
		for ctx.Err() == nil {
			n, err := socket.Read(buffer)
			if err != nil {
				continue // an interface went away
			}
			t.frames.Add(1)
			for w, count := range t.words {
				if bytes.Contains(buffer[:n], []byte(w)) {
					count.Add(1)
				}
			}
		}
	}()
	f.t.Cleanup(func() {
		stop()
		socket.Close()
		<-done
	})
	return t
}

func (t *tap) heard(word string) int64 { return t.words[word].Load() }
