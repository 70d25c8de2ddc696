package cli

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
)

// farMachine is a machine with an SSH server on loopback, whose fleettop is
// this test binary, with a daemon's API.
type farMachine struct {
	t        *testing.T
	dir      string // of ssh's configuration
	listener net.Listener
	config   *ssh.ServerConfig
	endpoint string
	logins   atomic.Int32

	mu        sync.Mutex // guards what follows
	conns     []net.Conn
	forwarded []string // where clients asked to be forwarded to
}

// newFarMachine starts the server, and puts a real ssh on PATH whose
// configuration is as a user's would be.
func newFarMachine(t *testing.T, endpoint string) *farMachine {
	t.Helper()
	binary, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatalf("these tests need OpenSSH's client: %v", err)
	}
	dir := t.TempDir()
	newKey := func(name string) ssh.Signer {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		block, err := ssh.MarshalPrivateKey(key, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		signer, err := ssh.NewSignerFromKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return signer
	}
	host, user := newKey("host"), newKey("user")
	m := &farMachine{t: t, dir: dir, endpoint: endpoint}
	m.config = &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() != "ada" || !bytes.Equal(key.Marshal(), user.PublicKey().Marshal()) {
			return nil, fmt.Errorf("%s may not", c.User())
		}
		return nil, nil
	}}
	m.config.AddHostKey(host)
	if m.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { m.serve(&running) })
	t.Cleanup(func() {
		m.listener.Close()
		m.cut()
		running.Wait()
	})
	_, port, _ := net.SplitHostPort(m.listener.Addr().String())
	files := map[string]string{
		"known_hosts": fmt.Sprintf("[127.0.0.1]:%s %s", port, ssh.MarshalAuthorizedKey(host.PublicKey())),
		"config": fmt.Sprintf("Host far\n  HostName 127.0.0.1\n  Port %s\n  User ada\nHost *\n  IdentityFile %s/user\n  IdentityAgent none\n  IdentitiesOnly yes\n"+
			"  UserKnownHostsFile %s/known_hosts\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  BatchMode yes\n", port, dir, dir),
		"ssh": fmt.Sprintf("#!/bin/sh\nexec %s -F %s/config \"$@\"\n", binary, dir),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return m
}

func (m *farMachine) serve(running *sync.WaitGroup) {
	for {
		conn, err := m.listener.Accept()
		if err != nil {
			return
		}
		m.mu.Lock()
		m.conns = append(m.conns, conn)
		m.mu.Unlock()
		running.Go(func() {
			defer conn.Close()
			_, channels, requests, err := ssh.NewServerConn(conn, m.config)
			if err != nil {
				return
			}
			m.logins.Add(1)
			running.Go(func() { ssh.DiscardRequests(requests) })
			for c := range channels {
				if c.ChannelType() != "session" {
					m.forward(c)
					continue
				}
				channel, requests, err := c.Accept()
				if err != nil {
					return
				}
				running.Go(func() { m.session(channel, requests) })
			}
		})
	}
}

// forward notes where a connection is to go, and refuses it.
func (m *farMachine) forward(c ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		Origin     string
		OriginPort uint32
	}
	err := ssh.Unmarshal(c.ExtraData(), &to)
	m.mu.Lock()
	m.forwarded = append(m.forwarded, fmt.Sprintf("%s %s:%d %v", c.ChannelType(), to.Host, to.Port, err))
	m.mu.Unlock()
	_ = c.Reject(ssh.ConnectionFailed, "nothing is there")
}

// cut ends all connections, as a cable would.
func (m *farMachine) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.conns {
		c.Close()
	}
	m.conns = nil
}

func (m *farMachine) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	for r := range requests {
		if r.Type != "exec" {
			r.Reply(r.Type == "env", nil)
			continue
		}
		r.Reply(true, nil)
		var payload struct{ Command string }
		if ssh.Unmarshal(r.Payload, &payload) != nil {
			return
		}
		self, err := os.Executable()
		if err != nil {
			return
		}
		cmd := exec.Command(self, strings.Fields(payload.Command)[1:]...)
		cmd.Env = append(os.Environ(), actAsFleettop+"=1", "FLEETTOP_ENDPOINT="+m.endpoint)
		in, err := cmd.StdinPipe()
		if err != nil {
			return
		}
		cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
		if err := cmd.Start(); err != nil {
			return
		}
		go func() {
			io.Copy(in, channel)
			in.Close()
		}()
		cmd.Wait()
		channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(cmd.ProcessState.ExitCode())}))
		return
	}
}

func TestVerbsThroughSSH(t *testing.T) {
	c := apitest.Start(t, 3)
	far := newFarMachine(t, c.Endpoint)
	file := filepath.Join(t.TempDir(), "a.service")
	if err := os.WriteFile(file, []byte("[Service]\nExecStart=/bin/true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		args []string
		says string
	}{
		{[]string{"list-machines"}, "198.18.1.3"},
		{[]string{"start", file}, "a.service launched on"},
		{[]string{"list-units"}, "a.service"},
		{[]string{"cat", "a.service"}, "/bin/true"},
		{[]string{"destroy", "a.service"}, "Destroyed a.service"},
	} {
		var out, errOut bytes.Buffer
		before := far.logins.Load()
		if code := Run(t.Context(), append([]string{"-H", "ssh://far"}, x.args...), strings.NewReader(""), &out, &errOut); code != 0 || !strings.Contains(out.String(), x.says) {
			t.Errorf("%v: %d\n%s%s", x.args, code, &out, &errOut)
		}
		if n := far.logins.Load() - before; n != 1 {
			t.Errorf("%v logged in %d times", x.args, n)
		}
	}
	events, err := c.Client().Events(t.Context(), "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if strings.Contains(e.Text, "a.service") && e.By == "" {
			t.Errorf("nobody did it: %+v", e)
		}
	}
}

func TestSSHThatFails(t *testing.T) {
	newFarMachine(t, "unix:///nowhere/fleettop.sock")
	for _, c := range []struct{ host, says string }{
		{"ssh://nobody@far", "Permission denied"},
		{"ssh://far:1", "refused"},
		{"ssh://far", "no fleettop daemon can be reached at unix:///nowhere/fleettop.sock"},
	} {
		var out, errOut bytes.Buffer
		if code := Run(t.Context(), []string{"-H", c.host, "list-units"}, strings.NewReader(""), &out,
			&errOut); code != exitFailed || !strings.Contains(errOut.String(), c.says) {
			t.Errorf("%s: %d\n%s, want something about %q", c.host, code, &errOut, c.says)
		}
	}
}

// A watch and other requests share one ssh; when that is cut, the next request
// gets another one.
func TestSSHIsSharedAndComesBack(t *testing.T) {
	c := apitest.Start(t, 3)
	far := newFarMachine(t, c.Endpoint)
	client, err := (&ownProcess{host: "ssh://far"}).client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	began, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		var once sync.Once
		ended <- client.Watch(ctx, api.WatchOptions{}, func(*api.State, *api.Line) error {
			once.Do(func() { close(began) })
			return nil
		})
	}()
	<-began
	var together sync.WaitGroup
	for range 8 {
		together.Go(func() {
			if _, err := client.Machines(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	together.Wait()
	if n := far.logins.Load(); n != 1 {
		t.Errorf("%d logins, want one for all", n)
	}
	far.cut()
	if err := <-ended; err == nil || ctx.Err() != nil {
		t.Errorf("the watch ended with %v, %v", err, ctx.Err())
	}
	if _, err := client.Machines(ctx); err != nil {
		t.Errorf("it didn't come back: %v", err)
	}
	if n := far.logins.Load(); n != 2 {
		t.Errorf("%d logins, want another one", n)
	}
}
