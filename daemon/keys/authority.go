package keys

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"time"
)

// Lifetime is how long a machine's certificate is valid; it is renewed when
// half of that is over.
const Lifetime = 24 * time.Hour

// skew is how far machines' clocks may be apart.
const skew = time.Hour

// authority signs the machines' certificates. The same key makes the same
// authority on every machine, so none of them has to ask another.
type authority struct {
	cert *x509.Certificate
	key  ed25519.PrivateKey
}

func (k Key) authority() (*authority, error) {
	key := ed25519.NewKeyFromSeed(k.derive("authority", ed25519.SeedSize))
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "fleettop cluster key " + k.ID()},
		NotBefore:             time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the cluster's authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make the cluster's authority: %w", err)
	}
	return &authority{cert: cert, key: key}, nil
}

// mint signs a certificate for a machine's public key.
func (a *authority) mint(public crypto.PublicKey, machine string, addresses []net.IP, now time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: machine},
		NotBefore:    now.Add(-skew),
		NotAfter:     now.Add(Lifetime),
		URIs:         []*url.URL{machineURI(machine)},
		IPAddresses:  addresses,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("mint this machine's certificate: %w", err)
	}
	return der, nil
}

func machineURI(id string) *url.URL {
	return &url.URL{Scheme: "fleettop", Host: "machine", Path: "/" + id}
}

// MachineOf is the machine-id a certificate of the cluster's authority was
// minted for, or "".
func MachineOf(cert *x509.Certificate) string {
	for _, u := range cert.URIs {
		if u.Scheme == "fleettop" && u.Host == "machine" {
			return strings.TrimPrefix(u.Path, "/")
		}
	}
	return ""
}
