package keys

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRingSurvivesItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etc", "key")
	r := NewRing(Generate(), Generate())
	if err := r.Create(path); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", st.Mode(), err)
	}
	back, err := Load(path)
	if err != nil || !back.Equal(r) || back.Primary() != r.Primary() {
		t.Errorf("read back %v, %v, want %v", back, err, r)
	}
	if err := NewRing(Generate()).Create(path); err == nil || !strings.Contains(err.Error(), "left alone") {
		t.Errorf("another key replaced the one that was there: %v", err)
	}
	next := NewRing(r.Keys()[1])
	if err := next.Save(path); err != nil {
		t.Fatal(err)
	}
	if back, err = Load(path); err != nil || !back.Equal(next) {
		t.Errorf("read back %v, %v, want %v", back, err, next)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".key-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read was taken: %v", err)
	}
	if _, err := Load(path + "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no key: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	line := func(k Key) string { return strings.Split(string(NewRing(k).Text()), "\n")[3] }
	a, b, c := line(Generate()), line(Generate()), line(Generate())
	for _, x := range []struct{ name, text, says string }{
		{"nothing", "", "key generate"},
		{"only comments", fileHeader, "key generate"},
		{"half a line", a[:20], "line 1"},
		{"a damaged key", a[:len(a)-3], "line 1 is damaged"},
		{"the ID of another", b[:16] + a[16:], "not the one its ID names"},
		{"one twice", a + "\n" + a, "line 2 repeats"},
		{"too many", a + "\n" + b + "\n" + c, "3 keys"},
		{"something else", "-----BEGIN PRIVATE KEY-----", "copy the file again"},
	} {
		if _, err := Parse([]byte(x.text)); err == nil || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v, want something about %q", x.name, err, x.says)
		}
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	k := Generate()
	r := NewRing(k)
	secret := strings.Fields(strings.Split(string(r.Text()), "\n")[3])[1]
	raw := fmt.Sprintf("%d", k.secret[:4])
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, shown := range []string{fmt.Sprintf(format, k), fmt.Sprintf(format, r), fmt.Sprintf(format, &r)} {
			if strings.Contains(shown, secret) || strings.Contains(shown, strings.Trim(raw, "[]")) {
				t.Errorf("%s shows the secret: %s", format, shown)
			}
		}
	}
	token, err := k.NewToken(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if shown := fmt.Sprintf("%v %s", token, token); strings.Contains(shown, token.Text()) {
		t.Errorf("a token shows itself: %s", shown)
	}
}

func TestPurposesHaveKeysOfTheirOwn(t *testing.T) {
	k := Generate()
	seen := map[string]string{}
	for _, purpose := range []string{"id", "gossip", "authority", "seal", "join token"} {
		d := string(k.derive(purpose, 32))
		if other, twice := seen[d]; twice || strings.Contains(d, string(k.secret[:])) {
			t.Errorf("%s has the key of %s", purpose, other)
		}
		seen[d] = purpose
	}
	// Changing these would cut a cluster in two while it is upgraded.
	fixed := Key{secret: [secretLen]byte(bytes.Repeat([]byte{7}, secretLen))}
	a, err := fixed.authority()
	if err != nil {
		t.Fatal(err)
	}
	public := sha256.Sum256(a.cert.RawSubjectPublicKeyInfo)
	if got, want := fixed.ID()+" "+hex.EncodeToString(public[:])[:16], "5b1f5c16dadcc35c 7032d8294d125f38"; got != want {
		t.Errorf("a key's ID and authority are %s, and were %s", got, want)
	}
}

func TestSealedRings(t *testing.T) {
	old, newest, other := Generate(), Generate(), Generate()
	r := NewRing(old, newest)
	s, err := r.Seal(3, newest.ID(), time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, have := range []Ring{NewRing(old), NewRing(newest), r, NewRing(other, newest)} {
		if got, err := s.Open(have); err != nil || !got.Equal(r) {
			t.Errorf("with %v: %v, %v", have, got, err)
		}
	}
	if _, err := s.Open(NewRing(other)); !errors.Is(err, ErrOtherKey) || !strings.Contains(err.Error(), "join-command") {
		t.Errorf("with a foreign key: %v", err)
	}
	for name, change := range map[string]func(*Sealed){
		"generation": func(s *Sealed) { s.Generation++ },
		"order":      func(s *Sealed) { slices.Reverse(s.IDs) },
		"newest":     func(s *Sealed) { s.Newest = old.ID() },
		"since":      func(s *Sealed) { s.Since = s.Since.Add(1) },
		"box":        func(s *Sealed) { s.Boxes[old.ID()][20] ^= 1 },
		"short box":  func(s *Sealed) { s.Boxes[old.ID()] = nil },
	} {
		changed, err := r.Seal(3, newest.ID(), time.Unix(1e9, 0))
		if err != nil {
			t.Fatal(err)
		}
		change(&changed)
		if got, err := changed.Open(NewRing(old)); err == nil {
			t.Errorf("with its %s changed it opens to %v", name, got)
		}
	}
}

func TestTokens(t *testing.T) {
	now := time.Unix(1.8e9, 0)
	k := Generate()
	r := NewRing(Generate(), k)
	token, err := k.NewToken(now)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseToken(" " + token.Text() + "\n")
	if err != nil || back != token {
		t.Fatalf("read back %v, %v", back, err)
	}
	for _, c := range []struct {
		name string
		ring Ring
		at   time.Time
		want error
	}{
		{"in time", r, now, nil},
		{"at the end", r, now.Add(TokenLifetime), nil},
		{"too late", r, now.Add(TokenLifetime + time.Second), ErrTokenExpired},
		{"from the future", r, now.Add(-2 * time.Hour), ErrTokenExpired},
		{"another cluster's", NewRing(Generate()), now, ErrBadToken},
	} {
		if err := c.ring.Check(back, c.at); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(token.Text())
		text[rapid.IntRange(0, len(text)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		if string(text) == token.Text() {
			return
		}
		if forged, err := ParseToken(string(text)); err == nil && forged != token && r.Check(forged, now) == nil {
			t.Errorf("%s is taken for %s", text, token.Text())
		}
	})
}

func TestNextStep(t *testing.T) {
	old, newest := Generate(), Generate()
	spreading, retiring := NewRing(old, newest), NewRing(newest, old)
	since := time.Unix(1e9, 0)
	holder := func(name string, live bool, r Ring) Holder { return Holder{Name: name, Live: live, IDs: r.IDs()} }
	for _, c := range []struct {
		name    string
		ring    Ring
		holders []Holder
		after   time.Duration
		finish  bool
		next    Ring
		wait    string
	}{
		{name: "one key", ring: NewRing(old), holders: []Holder{holder("n1", true, NewRing(newest))}},
		{name: "spreading, one hasn't it", ring: spreading, holders: []Holder{holder("n1", true, spreading),
			holder("n2", true, NewRing(old))}, wait: "n2"},
		{name: "spreading, even if told to finish", ring: spreading, holders: []Holder{holder("n2", true, NewRing(old))},
			finish: true, wait: "n2"},
		{name: "spreading, all have it", ring: spreading, holders: []Holder{holder("n1", true, spreading)}, next: retiring},
		{name: "spreading, who hasn't it is off", ring: spreading,
			holders: []Holder{holder("n1", true, spreading), holder("n2", false, NewRing(old))}, next: retiring},
		{name: "retiring, one doesn't use it", ring: retiring, holders: []Holder{holder("n1", true, retiring),
			holder("n2", true, spreading)}, wait: "n2"},
		{name: "retiring, who doesn't use it is off", ring: retiring,
			holders: []Holder{holder("n1", true, retiring), holder("n2", false, spreading)}, wait: "n2"},
		{name: "retiring, and off for too long", ring: retiring, holders: []Holder{holder("n1", true, retiring),
			holder("n2", false, spreading)}, after: Patience, next: NewRing(newest)},
		{name: "retiring, told to finish", ring: retiring, holders: []Holder{holder("n1", true, retiring),
			holder("n2", false, spreading)}, finish: true, next: NewRing(newest)},
		{name: "retiring, told to finish, one lives", ring: retiring, holders: []Holder{holder("n1", true, spreading)},
			finish: true, after: 2 * Patience, wait: "n1"},
		{name: "retiring, all use it", ring: retiring, holders: []Holder{holder("n1", true, retiring),
			holder("n2", false, retiring)}, next: NewRing(newest)},
	} {
		s := NextStep(c.ring, newest.ID(), since, c.holders, since.Add(c.after), c.finish)
		if !s.Next.Equal(c.next) || strings.Join(s.Wait, " ") != c.wait || (s.Text == "") != c.next.Empty() {
			t.Errorf("%s: next %v, waiting for %v (%s), want %v and %q", c.name, s.Next, s.Wait, s.Text, c.next, c.wait)
		}
	}
}

func TestCertificatesAreRenewed(t *testing.T) {
	now := time.Unix(1.8e9, 0)
	dir := filepath.Join(t.TempDir(), "tls")
	id, err := NewIdentity(Config{Machine: strings.Repeat("a", 32), Address: net.IPv4(127, 0, 0, 1),
		Ring: NewRing(Generate()), Dir: dir, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	file := func() string {
		raw, err := os.ReadFile(id.Files().CertFile)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	serial := func() string {
		c, err := id.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		if now.Before(c.Leaf.NotBefore) || now.After(c.Leaf.NotAfter.Add(-Lifetime/4)) {
			t.Errorf("at %s the certificate in use is good from %s to %s", now, c.Leaf.NotBefore, c.Leaf.NotAfter)
		}
		return c.Leaf.SerialNumber.String()
	}
	first, text := serial(), file()
	now = now.Add(Lifetime/2 - time.Second)
	if serial() != first || file() != text {
		t.Error("renewed too early")
	}
	now = now.Add(time.Second)
	second := serial()
	if err := id.Refresh(); err != nil {
		t.Fatal(err)
	}
	if second == first || file() == text {
		t.Error("not renewed after half of its life")
	}
	now = now.Add(-30 * 24 * time.Hour) // the clock was wrong
	if serial() == second {
		t.Error("not renewed after the clock was put back")
	}
	for _, path := range []string{id.Files().CertFile, id.Files().KeyFile, id.Files().CAFile} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, st.Mode(), err)
		}
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v, %v", dir, st.Mode(), err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(NewRing(Generate()).Text())
	f.Add(NewRing(Generate(), Generate()).Text())
	f.Add([]byte("# only a comment\n"))
	f.Add([]byte("0123456789abcdef not-a-key"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		if back, err := Parse(r.Text()); err != nil || !back.Equal(r) {
			t.Errorf("%v became %v, %v", r, back, err)
		}
	})
}

func FuzzParseToken(f *testing.F) {
	k := Generate()
	token, err := k.NewToken(time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token.Text())
	f.Add("ftj1-")
	f.Add("ftj1-AAAA")
	r := NewRing(k)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseToken(text)
		if err == nil && got != token && r.Check(got, time.Now()) == nil {
			t.Errorf("%q was taken", text)
		}
	})
}
