package keys

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	machineA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	machineB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func identity(t *testing.T, machine string, r Ring, now func() time.Time) *Identity {
	t.Helper()
	id, err := NewIdentity(Config{Machine: machine, Address: net.IPv4(127, 0, 0, 1), Ring: r,
		Dir: filepath.Join(t.TempDir(), "tls"), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// talk lets a client send a byte to a server and get it back, over TCP on
// loopback. A client without a configuration speaks in clear.
func talk(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		secure := tls.Server(conn, server)
		secure.SetDeadline(time.Now().Add(5 * time.Second))
		_, err = io.CopyN(secure, secure, 1)
		served <- err
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if client != nil {
		conn = tls.Client(conn, client)
	}
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	got := make([]byte, 1)
	_, werr := conn.Write([]byte("x"))
	_, rerr := io.ReadFull(conn, got)
	conn.Close()
	l.Close()
	if err := errors.Join(werr, rerr, <-served); err != nil {
		return err
	}
	if got[0] != 'x' {
		return errors.New("something else came back")
	}
	return nil
}

func TestHandshakes(t *testing.T) {
	key, next := Generate(), Generate()
	shifted := func(d time.Duration) func() time.Time {
		return func() time.Time { return time.Now().Add(d) }
	}
	for _, c := range []struct {
		name           string
		server, client Ring
		clock          func() time.Time // of the client
		asks           string           // the machine it wants to talk to
		refused        bool
	}{
		{name: "the same key", server: NewRing(key), client: NewRing(key), asks: machineA},
		{name: "any machine", server: NewRing(key), client: NewRing(key)},
		{name: "clocks a little apart", server: NewRing(key), client: NewRing(key), clock: shifted(30 * time.Minute)},
		{name: "another machine", server: NewRing(key), client: NewRing(key), asks: machineB, refused: true},
		{name: "another cluster", server: NewRing(key), client: NewRing(Generate()), refused: true},
		{name: "expired", server: NewRing(key), client: NewRing(key), clock: shifted(-2 * Lifetime), refused: true},
		{name: "not yet valid", server: NewRing(key), client: NewRing(key), clock: shifted(2 * time.Hour), refused: true},
		{name: "old key against both", server: NewRing(key, next), client: NewRing(key)},
		{name: "both, the new one used, against both", server: NewRing(key, next), client: NewRing(next, key)},
		{name: "both, the new one used, against the new one", server: NewRing(next), client: NewRing(next, key)},
		{name: "the dropped key", server: NewRing(next), client: NewRing(key), refused: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := identity(t, machineA, c.server, nil)
			client := identity(t, machineB, c.client, c.clock)
			cfg, err := client.ClientConfig(c.asks, "127.0.0.1:1")
			if err != nil {
				t.Fatal(err)
			}
			cfg.Time = nil // the clock is for the certificate
			if err := talk(t, server.ServerConfig(), cfg); (err != nil) != c.refused {
				t.Errorf("the API: %v", err)
			}
			if c.asks == machineB {
				return // etcd's clients take any machine
			}
			if cfg, err = client.EtcdConfig(); err != nil {
				t.Fatal(err)
			}
			cfg.ServerName = "127.0.0.1"
			if err := talk(t, server.ServerConfig(), cfg); (err != nil) != c.refused {
				t.Errorf("etcd: %v", err)
			}
		})
	}
}

func TestServerRefusesStrangers(t *testing.T) {
	server := identity(t, machineA, NewRing(Generate()), nil)
	if err := talk(t, server.ServerConfig(), nil); err == nil {
		t.Error("plain text is answered")
	}
	if err := talk(t, server.ServerConfig(), &tls.Config{InsecureSkipVerify: true}); err == nil {
		t.Error("a client without a certificate is answered")
	}
	if err := talk(t, server.ServerConfig(), &tls.Config{InsecureSkipVerify: true,
		MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("an old TLS is spoken")
	}
}

// A configuration that was handed out before follows the ring.
func TestConfigurationsFollowTheRing(t *testing.T) {
	old, next := NewRing(Generate()), NewRing(Generate())
	server, client := identity(t, machineA, old, nil), identity(t, machineB, old, nil)
	serving := server.ServerConfig()
	dialing, err := client.EtcdConfig()
	if err != nil {
		t.Fatal(err)
	}
	if err := talk(t, serving, dialing); err != nil {
		t.Fatal(err)
	}
	if err := server.SetRing(next); err != nil {
		t.Fatal(err)
	}
	if err := talk(t, serving, dialing); err == nil {
		t.Error("the server still takes the key it dropped")
	}
	if err := client.SetRing(next); err != nil {
		t.Fatal(err)
	}
	if err := talk(t, serving, dialing); err != nil {
		t.Errorf("the client doesn't use the new key: %v", err)
	}
}

func TestJoinHandshake(t *testing.T) {
	r := NewRing(Generate())
	server := identity(t, machineA, r, nil)
	token, err := r.Primary().NewToken(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := talk(t, server.ServerConfig(), token.JoinConfig()); err != nil {
		t.Errorf("the token's own cluster: %v", err)
	}
	other := identity(t, machineA, NewRing(Generate()), nil)
	if err := talk(t, other.ServerConfig(), token.JoinConfig()); err == nil {
		t.Error("a token would be handed to another cluster")
	}
	// Somebody in between shows the cluster's authority, which anybody has
	// seen, with a certificate of his own.
	fake, err := other.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	genuine, err := server.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	between := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{fake.Certificate[0],
		genuine.Certificate[1]}, PrivateKey: fake.PrivateKey}}}
	if err := talk(t, between, token.JoinConfig()); err == nil {
		t.Error("a token would be handed to somebody in between")
	}
}

func TestOwnCertificates(t *testing.T) {
	// Another cluster's files are as good as any PKI's.
	pki := identity(t, machineA, NewRing(Generate()), nil).Files()
	r := NewRing(Generate())
	open := func(f Files) (*Identity, error) {
		return NewIdentity(Config{Machine: machineB, Address: net.IPv4(127, 0, 0, 1), Ring: r, PKI: f})
	}
	id, err := open(pki)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := id.ClientConfig(machineB, "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := talk(t, id.ServerConfig(), cfg); err != nil {
		t.Errorf("with own certificates: %v", err)
	}
	minted, err := identity(t, machineA, r, nil).ClientConfig("", "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := talk(t, id.ServerConfig(), minted); err == nil {
		t.Error("a certificate minted from the key is taken beside own ones")
	}
	if id.Files() != pki {
		t.Errorf("the files are %v", id.Files())
	}

	strange := identity(t, machineA, NewRing(Generate()), nil).Files()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		files Files
		says  string
	}{
		{"another's key", Files{pki.CertFile, strange.KeyFile, pki.CAFile}, "give a pair"},
		{"another's authority", Files{pki.CertFile, pki.KeyFile, strange.CAFile}, "must be signed by an authority in"},
		{"no authority", Files{pki.CertFile, pki.KeyFile, empty}, "no certificate in"},
		{"no file", Files{pki.CertFile + "x", pki.KeyFile, pki.CAFile}, "give a pair"},
	} {
		if _, err := open(c.files); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want something about %q", c.name, err, c.says)
		}
	}
	elsewhere := Config{Machine: machineB, Address: net.IPv4(198, 18, 0, 9), Ring: r, PKI: pki}
	if _, err := NewIdentity(elsewhere); err == nil || !strings.Contains(err.Error(), "198.18.0.9") {
		t.Errorf("a certificate without this machine's address was taken: %v", err)
	}
}
