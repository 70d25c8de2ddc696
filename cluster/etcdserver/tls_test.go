package etcdserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// newTLS makes an authority and a certificate for 127.0.0.1 signed by it.
func newTLS(t *testing.T) TLS {
	t.Helper()
	dir := t.TempDir()
	file := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sign := func(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) []byte {
		template.SerialNumber = big.NewInt(time.Now().UnixNano())
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	caKey, key := newKey(), newKey()
	ca := &x509.Certificate{Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	caDER := sign(ca, ca, caKey, caKey)
	der := sign(&x509.Certificate{Subject: pkix.Name{CommonName: "m0"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, ca, key, caKey)
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return TLS{CertFile: file("cert.pem", "CERTIFICATE", der), KeyFile: file("key.pem", "EC PRIVATE KEY", keyDER),
		CAFile: file("ca.pem", "CERTIFICATE", caDER)}
}

// secured starts a cluster of one under TLS, with its own client.
func secured(t *testing.T, certs TLS) (*Server, *clientv3.Client) {
	t.Helper()
	cfg := newConfig(t, "m0")
	cfg.ClusterID, cfg.TLS = testCluster, certs
	s, err := Bootstrap(limit(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, ownClient(t, s)
}

func TestMutualTLS(t *testing.T) {
	certs := newTLS(t)
	first, client := secured(t, certs)
	write(t, client, "k", "v")

	second := newConfig(t, "m1")
	second.TLS = certs
	if err := Do(limit(t), client, Step{Kind: AddLearner, Machine: "m1", PeerURL: second.PeerURL()}); err != nil {
		t.Fatal(err)
	}
	f := &fleet{configs: map[string]Config{"m1": second}, servers: map[string]*Server{}}
	f.join(t, client, "m1")

	for name, theirs := range map[string]TLS{"no certificate": {}, "certificate of another authority": newTLS(t)} {
		stranger, err := NewClient(ClientConfig{Endpoints: []string{first.ClientURL()}, TLS: theirs,
			Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		if _, err := stranger.Get(ctx, "k"); err == nil {
			t.Errorf("a client with %s was let in", name)
		}
		cancel()
		stranger.Close()
	}
}

// TestCloseAnswers: what a closing server has carried out it has told, too.
func TestCloseAnswers(t *testing.T) {
	s, client := secured(t, newTLS(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writing sync.WaitGroup
	var mu sync.Mutex
	told, begun := map[string]bool{}, make(chan struct{}, 1000)
	for w := range 8 {
		writing.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("k/%d/%d", w, i)
				if _, err := client.Put(ctx, key, "v"); err != nil {
					return
				}
				mu.Lock()
				told[key] = true
				mu.Unlock()
				select {
				case begun <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 100 {
		<-begun
	}
	s.Close()
	cancel()
	writing.Wait()
	r, err := ownClient(t, restarted(t, s)).Get(limit(t), "k/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range r.Kvs {
		if !told[string(kv.Key)] {
			t.Errorf("%s was written, and nobody told", kv.Key)
		}
	}
	if len(r.Kvs) < 100 {
		t.Errorf("%d keys were written", len(r.Kvs))
	}
}
