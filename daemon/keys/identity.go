package keys

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"fleettop/units/safefile"
)

// Files names the files of a certificate, its key, and the authorities that
// are trusted, all PEM.
type Files struct{ CertFile, KeyFile, CAFile string }

// Config says whose identity to make.
type Config struct {
	Machine string // machine-id
	Address net.IP // the others reach it at
	Ring    Ring
	// PKI is a certificate of somebody else's making, used instead of one from
	// the ring. The files are read again at each handshake.
	PKI Files
	// Dir is where the certificate lies for those who want it as files; it
	// must be this process's alone. Empty for none.
	Dir string
	Now func() time.Time // time.Now if nil
}

// Identity is what a machine proves itself with, and checks others against. It
// renews its certificate by itself and follows the ring. Its methods are safe
// for concurrent use.
type Identity struct {
	cfg Config
	key ed25519.PrivateKey // the same for all certificates of this process

	mu      sync.Mutex // guards what follows
	ring    Ring
	signers []*authority // one for each key
	cert    *tls.Certificate
	renewAt time.Time
}

// NewIdentity makes an identity, and its files if it is to have any.
func NewIdentity(cfg Config) (*Identity, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	id := &Identity{cfg: cfg, key: key}
	if cfg.own() {
		if err := id.checkOwn(); err != nil {
			return nil, err
		}
	}
	if err := id.SetRing(cfg.Ring); err != nil {
		return nil, err
	}
	return id, nil
}

func (c *Config) own() bool { return c.PKI != Files{} }

// checkOwn makes sure at the start that given files can be used.
func (id *Identity) checkOwn() error {
	cert, err := id.Certificate()
	if err != nil {
		return err
	}
	pool, err := id.pool()
	if err != nil {
		return err
	}
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		between := x509.NewCertPool()
		for _, der := range cert.Certificate[1:] {
			if c, err := x509.ParseCertificate(der); err == nil {
				between.AddCert(c)
			}
		}
		opts := x509.VerifyOptions{Roots: pool, Intermediates: between, CurrentTime: id.cfg.Now(), KeyUsages: []x509.ExtKeyUsage{use}}
		if use == x509.ExtKeyUsageServerAuth {
			opts.DNSName = id.cfg.Address.String()
		}
		if _, err := cert.Leaf.Verify(opts); err != nil {
			return fmt.Errorf("the other machines would refuse the certificate %s: %w: it must be signed by an authority in %s, for servers and clients, with the address %s in it",
				id.cfg.PKI.CertFile, err, id.cfg.PKI.CAFile, id.cfg.Address)
		}
	}
	return nil
}

// SetRing makes the identity follow another ring: a certificate signed with
// its primary is used, and those signed with any of its keys are accepted.
func (id *Identity) SetRing(r Ring) error {
	if r.Empty() {
		return ErrNoKey
	}
	var signers []*authority
	for _, k := range r.keys {
		a, err := k.authority()
		if err != nil {
			return err
		}
		signers = append(signers, a)
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	id.ring, id.signers = r, signers
	return id.renew()
}

// Ring is the ring that the identity follows.
func (id *Identity) Ring() Ring {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.ring
}

// renew mints a certificate and writes the files; id.mu is held.
func (id *Identity) renew() error {
	now := id.cfg.Now()
	signer := id.signers[0]
	der, err := signer.mint(id.key.Public(), id.cfg.Machine, []net.IP{id.cfg.Address}, now)
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	// The authority goes along for those who know no more than its fingerprint.
	id.cert = &tls.Certificate{Certificate: [][]byte{der, signer.cert.Raw}, PrivateKey: id.key, Leaf: leaf}
	id.renewAt = now.Add(Lifetime / 2)
	return id.writeFiles()
}

// writeFiles puts certificate, key and authorities where Files says. The key
// is always the same, so who reads the files one by one gets a pair that fits.
func (id *Identity) writeFiles() error {
	if id.cfg.Dir == "" || id.cfg.own() {
		return nil
	}
	if err := os.MkdirAll(id.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("keep this machine's certificate: %w", err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(id.key)
	if err != nil {
		return err
	}
	var certs, authorities bytes.Buffer
	for _, der := range id.cert.Certificate {
		_ = pem.Encode(&certs, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	for _, a := range id.signers {
		_ = pem.Encode(&authorities, &pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	}
	files := id.files()
	for _, f := range []struct {
		path    string
		content []byte
	}{{files.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})}, {files.CertFile, certs.Bytes()}, {files.CAFile, authorities.Bytes()}} {
		err := os.WriteFile(f.path+".new", f.content, 0o600)
		if err == nil {
			err = os.Rename(f.path+".new", f.path)
		}
		if err != nil {
			return fmt.Errorf("keep this machine's certificate: %w: make room in %s", err, id.cfg.Dir)
		}
	}
	return nil
}

// Files are the files of certificate, key and authorities. They are replaced
// whenever the certificate is renewed or the ring changes.
func (id *Identity) Files() Files {
	if id.cfg.own() {
		return id.cfg.PKI
	}
	return id.files()
}

func (id *Identity) files() Files {
	in := func(name string) string { return filepath.Join(id.cfg.Dir, name) }
	return Files{CertFile: in("cert.pem"), KeyFile: in("key.pem"), CAFile: in("ca.pem")}
}

// Run renews the files until ctx ends; what doesn't use the files needs no Run.
func (id *Identity) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute) // the wall clock may jump, so look at it
	defer tick.Stop()
	for {
		if _, err := id.Certificate(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Certificate is this machine's certificate, renewed if it is time.
func (id *Identity) Certificate() (*tls.Certificate, error) {
	if id.cfg.own() {
		cert, err := loadPair(id.cfg.PKI.CertFile, id.cfg.PKI.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read the certificate %s and its key %s: %w: give a pair, PEM", id.cfg.PKI.CertFile, id.cfg.PKI.KeyFile, err)
		}
		return &cert, nil
	}
	return id.clusterCertificate()
}

// maxPEM is how much of a file of certificates or keys is read, in bytes.
const maxPEM = 1 << 20

func loadPair(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := safefile.Read(certFile, maxPEM)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := safefile.Read(keyFile, maxPEM)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// clusterCertificate is the certificate signed with the cluster's key.
func (id *Identity) clusterCertificate() (*tls.Certificate, error) {
	id.mu.Lock()
	defer id.mu.Unlock()
	now := id.cfg.Now()
	if !now.Before(id.renewAt) || now.Before(id.cert.Leaf.NotBefore) {
		if err := id.renew(); err != nil {
			return nil, err
		}
	}
	return id.cert, nil
}

// pool is whom this machine trusts.
func (id *Identity) pool() (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if id.cfg.own() {
		text, err := safefile.Read(id.cfg.PKI.CAFile, maxPEM)
		if err != nil {
			return nil, fmt.Errorf("read the authorities: %w", err)
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("there is no certificate in %s: give the authorities, PEM", id.cfg.PKI.CAFile)
		}
		return pool, nil
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	for _, a := range id.signers {
		pool.AddCert(a.cert)
	}
	return pool, nil
}

// ServerConfig is for a listener whose clients are machines of the cluster. It
// follows the ring.
func (id *Identity) ServerConfig() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hello.ServerName == JoinServerName {
			return id.joinServerConfig()
		}
		cert, err := id.Certificate()
		if err != nil {
			return nil, err
		}
		pool, err := id.pool()
		if err != nil {
			return nil, err
		}
		return &tls.Config{
			MinVersion: tls.VersionTLS13, Time: id.cfg.Now,
			Certificates: []tls.Certificate{*cert},
			ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: pool,
			VerifyConnection: func(s tls.ConnectionState) error {
				if !id.cfg.own() && MachineOf(s.PeerCertificates[0]) == "" {
					return errors.New("the certificate names no machine")
				}
				return nil
			},
			// A resumed session would outlive its key's removal.
			SessionTicketsDisabled: true,
		}, nil
	}}
}

// ClientConfig is for one connection to a machine at an address. Any machine
// of the cluster will do if machine is empty.
func (id *Identity) ClientConfig(machine, address string) (*tls.Config, error) {
	cert, err := id.Certificate()
	if err != nil {
		return nil, err
	}
	pool, err := id.pool()
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Time: id.cfg.Now, ServerName: host,
		Certificates: []tls.Certificate{*cert}, RootCAs: pool,
		VerifyConnection: func(s tls.ConnectionState) error {
			if is := MachineOf(s.PeerCertificates[0]); !id.cfg.own() && machine != "" && is != machine {
				return fmt.Errorf("machine %s answers there, not %s", is, machine)
			}
			return nil
		},
	}, nil
}

// EtcdConfig is for etcd's client, which keeps one configuration for life. It
// follows the ring all the same.
func (id *Identity) EtcdConfig() (*tls.Config, error) {
	pool, err := id.pool()
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS13, Time: id.cfg.Now, RootCAs: pool,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return id.Certificate() }}
	if id.cfg.own() {
		return c, nil
	}
	// In place of the fixed pool's check, one by the ring of the moment. Only
	// machines of the cluster have such certificates, so which one answers
	// doesn't matter.
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(s tls.ConnectionState) error {
		return id.verify(&s, x509.ExtKeyUsageServerAuth, id.cfg.Now())
	}
	return c, nil
}

// Trusts tells whether the authority of a client that is connected is still
// accepted. That its certificate is too old by now doesn't matter.
func (id *Identity) Trusts(s *tls.ConnectionState) error {
	return id.verify(s, x509.ExtKeyUsageClientAuth, s.PeerCertificates[0].NotBefore)
}

func (id *Identity) verify(s *tls.ConnectionState, use x509.ExtKeyUsage, at time.Time) error {
	pool, err := id.pool()
	if err != nil {
		return err
	}
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err = s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{use}})
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
	}
	return nil
}

// PeerName is how a certificate's machine is called in logs and the timeline.
func PeerName(s *tls.ConnectionState) string {
	if s == nil || len(s.PeerCertificates) == 0 {
		return ""
	}
	cert := s.PeerCertificates[0]
	if id := MachineOf(cert); id != "" {
		return "machine " + id
	}
	return "machine " + cert.Subject.CommonName
}
