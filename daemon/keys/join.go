package keys

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// JoinServerName is the server that a machine without a key asks for in its
// TLS handshake. It gets no further than handing in a token.
const JoinServerName = "join.fleettop"

// joinServerConfig lets clients without a certificate in. The server's own is
// always one of the cluster's authority, since a token names that.
func (id *Identity) joinServerConfig() (*tls.Config, error) {
	cert, err := id.clusterCertificate()
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Time: id.cfg.Now, Certificates: []tls.Certificate{*cert},
		SessionTicketsDisabled: true}, nil
}

// Made reports whether a token is of the cluster with this ring.
func (r Ring) Made(t Token) bool {
	for _, k := range r.keys {
		if a, err := k.authority(); err == nil && t.pins(a.cert.RawSubjectPublicKeyInfo) {
			return true
		}
	}
	return false
}

// JoinConfig is for a machine that has no more than a token: it talks to
// nobody but a machine of the cluster the token is of.
func (t Token) JoinConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: JoinServerName,
		// In place of the check by name and known authorities, one by the
		// authority the token names.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			for _, c := range s.PeerCertificates[1:] {
				if !t.pins(c.RawSubjectPublicKeyInfo) {
					continue
				}
				roots := x509.NewCertPool()
				roots.AddCert(c)
				if _, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots}); err != nil {
					return fmt.Errorf("%w: see that both machines have the right time", err)
				}
				return nil
			}
			return errors.New("it is not a machine of the cluster this token is of, or its key was rotated since: print a new line with `fleettop join-command`")
		},
	}
}
