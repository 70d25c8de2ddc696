package keys

import (
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authorityOf returns the ID of the key of the ring that signed a certificate, or "".
func authorityOf(t *testing.T, cert *x509.Certificate, keys ...Key) string {
	t.Helper()
	for _, k := range keys {
		a, err := k.authority()
		if err != nil {
			t.Fatal(err)
		}
		if cert.CheckSignatureFrom(a.cert) == nil {
			return k.ID()
		}
	}
	return ""
}

func readCertificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("%s holds no PEM", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// A ring whose files can't be written is not half taken: the next try begins anew.
func TestRingIsTakenWholeOrNotAtAll(t *testing.T) {
	old, next := Generate(), Generate()
	dir := filepath.Join(t.TempDir(), "tls")
	id, err := NewIdentity(Config{Machine: machineA, Address: net.IPv4(127, 0, 0, 1), Ring: NewRing(old), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	// The last of the three files can't be replaced.
	blocked := id.Files().CAFile
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(blocked, "in", "the", "way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := id.SetRing(NewRing(next)); err == nil {
		t.Fatal("a ring was taken whose authorities could not be written")
	}
	if got := id.Ring(); !got.Equal(NewRing(old)) {
		t.Errorf("the ring is %s after a failure, expected the old one, %s", got, old)
	}
	cert, err := id.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	if by := authorityOf(t, cert.Leaf, old, next); by != old.ID() {
		t.Errorf("the certificate in use is signed with %s, expected %s", by, old)
	}
	if by := authorityOf(t, readCertificate(t, id.Files().CertFile), old, next); by != old.ID() {
		t.Errorf("the certificate's file is signed with %s, expected %s", by, old)
	}
	if err := os.RemoveAll(blocked); err != nil {
		t.Fatal(err)
	}
	if err := id.SetRing(NewRing(next)); err != nil {
		t.Fatal(err)
	}
	if by := authorityOf(t, readCertificate(t, id.Files().CertFile), old, next); by != next.ID() {
		t.Errorf("the certificate's file is signed with %s after the second try, expected %s", by, next)
	}
}

// What can't be written to the files doesn't keep the certificate from being
// renewed, and the files follow when they can; files that vanish are made again.
func TestFilesFollowWhenTheyCan(t *testing.T) {
	now := time.Now()
	dir := filepath.Join(t.TempDir(), "tls")
	id, err := NewIdentity(Config{Machine: machineA, Address: net.IPv4(127, 0, 0, 1), Ring: NewRing(Generate()), Dir: dir,
		Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(Lifetime)
	cert, err := id.Certificate()
	if err != nil {
		t.Fatalf("no certificate while its files can't be written: %v", err)
	}
	if !cert.Leaf.NotAfter.After(now) {
		t.Errorf("the certificate is good until %s, and it is %s", cert.Leaf.NotAfter, now)
	}
	if err := id.Refresh(); err == nil {
		t.Error("files below a file were written")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{dir, id.Files().CAFile} {
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
		if err := id.Refresh(); err != nil {
			t.Fatal(err)
		}
		if got := readCertificate(t, id.Files().CertFile); !got.Equal(cert.Leaf) {
			t.Errorf("the file holds another certificate than the one in use")
		}
		readCertificate(t, id.Files().CAFile)
	}
}

// Files of one's own that are being replaced, or unreadable for a moment, don't
// end handshakes: the last pair that was whole is used.
func TestOwnFilesMayBeGoneForAMoment(t *testing.T) {
	pki := identity(t, machineA, NewRing(Generate()), nil)
	files := pki.Files()
	id, err := NewIdentity(Config{Machine: machineB, Address: net.IPv4(127, 0, 0, 1), Ring: NewRing(Generate()),
		PKI: files})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := id.ClientConfig("", "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{files.CertFile, files.KeyFile, files.CAFile} {
		if err := os.Rename(file, file+".away"); err != nil {
			t.Fatal(err)
		}
		if err := talk(t, id.ServerConfig(), cfg); err != nil {
			t.Errorf("without %s: %v", file, err)
		}
		if err := id.Refresh(); err == nil {
			t.Errorf("without %s: nothing is said of it", file)
		}
		if err := os.Rename(file+".away", file); err != nil {
			t.Fatal(err)
		}
		if err := id.Refresh(); err != nil {
			t.Errorf("with %s back: %v", file, err)
		}
	}
}
