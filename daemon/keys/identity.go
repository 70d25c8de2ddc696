package keys

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
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

	current atomic.Pointer[credentials] // in use; replaced whole, so that no handshake waits for a file
	minting sync.Mutex                  // held to replace current; never over I/O
	files   certFiles
	own     ownFiles
}

// credentials are a ring and what was made of it. They don't change.
type credentials struct {
	ring    Ring
	signers []*authority // one for each key
	pool    *x509.CertPool
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
	id := &Identity{cfg: cfg, key: key, own: ownFiles{files: cfg.PKI}}
	if !cfg.own() {
		id.files.dir = cfg.Dir
	} else if err := id.checkOwn(); err != nil {
		return nil, err
	}
	if err := id.SetRing(cfg.Ring); err != nil {
		return nil, err
	}
	return id, nil
}

func (c *Config) own() bool { return c.PKI != Files{} }

// SetRing makes the identity follow another ring: a certificate signed with
// its primary is used, and those signed with any of its keys are accepted.
// Where the files can't be written, it keeps the ring it has.
func (id *Identity) SetRing(r Ring) error {
	if r.Empty() {
		return ErrNoKey
	}
	next := &credentials{ring: r, pool: x509.NewCertPool()}
	for _, k := range r.keys {
		a, err := k.authority()
		if err != nil {
			return err
		}
		next.signers = append(next.signers, a)
		next.pool.AddCert(a.cert)
	}
	if err := id.mint(next); err != nil {
		return err
	}
	return id.files.write(next, id.key, func() {
		id.minting.Lock()
		defer id.minting.Unlock()
		id.current.Store(next)
	})
}

// Ring is the ring that the identity follows.
func (id *Identity) Ring() Ring { return id.current.Load().ring }

// mint makes the certificate of new credentials.
func (id *Identity) mint(c *credentials) error {
	now := id.cfg.Now()
	signer := c.signers[0]
	der, err := signer.mint(id.key.Public(), id.cfg.Machine, []net.IP{id.cfg.Address}, now)
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	// The authority goes along for those who know no more than its fingerprint.
	c.cert = &tls.Certificate{Certificate: [][]byte{der, signer.cert.Raw}, PrivateKey: id.key, Leaf: leaf}
	c.renewAt = now.Add(Lifetime / 2)
	return nil
}

// fresh returns the credentials in use, with a new certificate if it is time.
func (id *Identity) fresh() (*credentials, error) {
	if c := id.current.Load(); !id.outdated(c) {
		return c, nil
	}
	id.minting.Lock()
	defer id.minting.Unlock()
	c := id.current.Load()
	if !id.outdated(c) {
		return c, nil
	}
	next := *c
	if err := id.mint(&next); err != nil {
		return nil, err
	}
	id.current.Store(&next)
	return &next, nil
}

// outdated reports whether it is time for a new certificate; the wall clock may jump.
func (id *Identity) outdated(c *credentials) bool {
	now := id.cfg.Now()
	return !now.Before(c.renewAt) || now.Before(c.cert.Leaf.NotBefore)
}

// Files are the files of certificate, key and authorities. They are replaced
// when the ring changes, and by Refresh.
func (id *Identity) Files() Files {
	if id.cfg.own() {
		return id.cfg.PKI
	}
	return id.files.names()
}

// Refresh renews the certificate if it is time, and the files if they don't
// hold it or are gone. Call it every few seconds; what doesn't use the files
// needs no Refresh. After an error the credentials in use are as good as before.
func (id *Identity) Refresh() error {
	if id.cfg.own() {
		_, certErr := id.own.certificate()
		_, poolErr := id.own.pool()
		return errors.Join(certErr, poolErr)
	}
	c, err := id.fresh()
	if err != nil {
		return err
	}
	return id.files.keep(c, id.key, id.current.Load)
}

// Certificate is this machine's certificate, renewed if it is time.
func (id *Identity) Certificate() (*tls.Certificate, error) {
	if id.cfg.own() {
		return id.own.lastCertificate()
	}
	return id.clusterCertificate()
}

// clusterCertificate is the certificate signed with the cluster's key.
func (id *Identity) clusterCertificate() (*tls.Certificate, error) {
	c, err := id.fresh()
	if err != nil {
		return nil, err
	}
	return c.cert, nil
}

// pool is whom this machine trusts.
func (id *Identity) pool() (*x509.CertPool, error) {
	if id.cfg.own() {
		return id.own.lastPool()
	}
	return id.current.Load().pool, nil
}

// ServerConfig is for a listener whose clients are machines of the cluster. It
// follows the ring.
func (id *Identity) ServerConfig() *tls.Config {
	follow := func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
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
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: follow}
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

// Trusts reports whether the authority of a client that is connected is still
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
	_, err = s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{use}})
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
