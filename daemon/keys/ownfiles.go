package keys

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync/atomic"

	"fleettop/units/safefile"
)

// maxPEM is the most bytes of a file of certificates or of a key.
const maxPEM = 1 << 20

// ownFiles are a certificate, its key and the authorities that the operator
// gives. They are read at each handshake. While they can't be read, as when
// they are being replaced one after the other, those read last go on.
type ownFiles struct {
	files Files

	cert  atomic.Pointer[tls.Certificate]
	roots atomic.Pointer[x509.CertPool]
}

// certificate reads the certificate and its key.
func (o *ownFiles) certificate() (*tls.Certificate, error) {
	certs, err := safefile.Read(o.files.CertFile, maxPEM)
	var key []byte
	if err == nil {
		key, err = safefile.Read(o.files.KeyFile, maxPEM)
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.X509KeyPair(certs, key)
	}
	if err != nil {
		return nil, fmt.Errorf("read the certificate %s and its key %s: %w: give a pair, PEM",
			o.files.CertFile, o.files.KeyFile, err)
	}
	o.cert.Store(&pair)
	return &pair, nil
}

// pool reads the authorities.
func (o *ownFiles) pool() (*x509.CertPool, error) {
	text, err := safefile.Read(o.files.CAFile, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("read the authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("there is no certificate in %s: give the authorities, PEM", o.files.CAFile)
	}
	o.roots.Store(pool)
	return pool, nil
}

// lastCertificate is the certificate as it is now, or as it was last.
func (o *ownFiles) lastCertificate() (*tls.Certificate, error) {
	cert, err := o.certificate()
	if last := o.cert.Load(); err != nil && last != nil {
		return last, nil
	}
	return cert, err
}

func (o *ownFiles) lastPool() (*x509.CertPool, error) {
	pool, err := o.pool()
	if last := o.roots.Load(); err != nil && last != nil {
		return last, nil
	}
	return pool, err
}

// checkOwn makes sure at the start that given files can be used.
func (id *Identity) checkOwn() error {
	cert, err := id.own.certificate()
	if err != nil {
		return err
	}
	pool, err := id.own.pool()
	if err != nil {
		return err
	}
	between := x509.NewCertPool()
	for _, der := range cert.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		opts := x509.VerifyOptions{Roots: pool, Intermediates: between, CurrentTime: id.cfg.Now(),
			KeyUsages: []x509.ExtKeyUsage{use}}
		if use == x509.ExtKeyUsageServerAuth {
			opts.DNSName = id.cfg.Address.String()
		}
		if _, err := cert.Leaf.Verify(opts); err != nil {
			return fmt.Errorf("the other machines would refuse the certificate %s: %w: it must be signed by an authority in %s, "+
				"for servers and clients, with the address %s in it", id.cfg.PKI.CertFile, err, id.cfg.PKI.CAFile, id.cfg.Address)
		}
	}
	return nil
}
