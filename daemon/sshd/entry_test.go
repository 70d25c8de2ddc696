package sshd

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"fleettop/daemon/api"
)

// newKey is a key and its line for the file, without a comment.
func newKey(t testing.TB) (gossh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := gossh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, strings.TrimSpace(string(gossh.MarshalAuthorizedKey(signer.PublicKey())))
}

func TestEntries(t *testing.T) {
	signer, line := newKey(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weakKey, err := gossh.NewPublicKey(&weak.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	here, now := netip.MustParseAddr("192.0.2.7"), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		line   string
		role   api.Role
		who    string
		admits bool
		err    string
	}{
		{line, api.Viewer, gossh.FingerprintSHA256(signer.PublicKey()), true, ""},
		{line + " op@laptop", api.Viewer, "op@laptop", true, ""},
		{`fleettop-role="operator" ` + line + " op@laptop", api.Operator, "op@laptop", true, ""},
		{`fleettop-role="viewer" ` + line + " a b", api.Viewer, "a b", true, ""},
		{`FLEETTOP-ROLE=operator,no-port-forwarding,no-X11-forwarding ` + line + " x", api.Operator, "x", true, ""},
		{line + " evil\x1b[2J\u202e" + strings.Repeat("x", 100), api.Viewer, "evil[2J" + strings.Repeat("x", 56) + "…", true,
			""},
		{`from="192.0.2.0/24,2001:db8::1" ` + line + " x", api.Viewer, "x", true, ""},
		{`from="198.51.100.1" ` + line + " x", api.Viewer, "x", false, ""},
		{`expiry-time="20260301" ` + line + " x", api.Viewer, "x", false, ""},
		{`expiry-time="202603011300Z" ` + line + " x", api.Viewer, "x", true, ""},
		{`fleettop-role="root" ` + line, "", "", false, "choose viewer or operator"},
		{`fleettop-role="viewer",fleettop-role="operator" ` + line, "", "", false, "two roles"},
		{`fleettop-role="operator",Fleettop-Role="operator" ` + line, "", "", false, "two roles"},
		{`command="/bin/true" ` + line, "", "", false, "command"},
		{`restrict ` + line, "", "", false, "restrict"},
		{`cert-authority ` + line, "", "", false, "cert-authority"},
		{`from="*.example.org" ` + line, "", "", false, "addresses and networks"},
		{`from="!192.0.2.7" ` + line, "", "", false, "addresses and networks"},
		{`expiry-time="soon" ` + line, "", "", false, "YYYYMMDD"},
		{"ssh-ed25519 AAAA", "", "", false, "no public key"},
		{"rm -rf", "", "", false, "no public key"},
		{string(gossh.MarshalAuthorizedKey(weakKey)), "", "", false, "1024 bits"},
	} {
		e, err := parseEntry([]byte(c.line))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%.80s: %v; want an error with %q", c.line, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%.80s: %v", c.line, err)
			continue
		}
		if e.role != c.role || e.who != c.who || e.admits(here, now) != c.admits {
			t.Errorf("%.80s: role %s, who %q, admits %v", c.line, e.role, e.who, e.admits(here, now))
		}
	}
}

func TestFileOfKeys(t *testing.T) {
	_, one := newKey(t)
	_, two := newKey(t)
	_, three := newKey(t)
	const operator = `fleettop-role="operator" `
	told := map[int]string{}
	keys := parseKeys([]byte("# people\n\n"+one+" one\r\nnonsense\n"+operator+one+" again\n"+two+"\n"+
		operator+three+" three\n"+three+" again\n"), func(n int, why string) { told[n] = why })
	if len(keys) != 3 || told[4] == "" || told[5] == "" || told[8] == "" || len(told) != 3 {
		t.Errorf("%d keys, told %v", len(keys), told)
	}
	for _, e := range keys {
		if e.role != api.Viewer {
			t.Errorf("%s is %s, and one of its lines has no role", e.who, e.role)
		}
	}
}

// TestKeyringFollowsTheFile changes the file in all the ways people do.
func TestKeyringFollowsTheFile(t *testing.T) {
	signer, line := newKey(t)
	path := filepath.Join(t.TempDir(), "keys")
	put := func(text string) {
		t.Helper()
		next := path + ".new"
		if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}
	}
	put(line + " x\n")
	k, err := openKeyring(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	find := func() string {
		if e := k.find(signer.PublicKey(), netip.MustParseAddr("127.0.0.1"), time.Now()); e != nil {
			return string(e.role)
		}
		return ""
	}
	for i, step := range []struct {
		do   func()
		want string
	}{
		{func() {}, "viewer"},
		{func() { put(`fleettop-role="operator" ` + line + " x\n") }, "operator"},
		{func() { put("") }, ""},
		{func() { put(line) }, "viewer"},
		{func() { must(t, os.Chmod(path, 0o666)) }, ""},
		{func() { must(t, os.Chmod(path, 0o644)) }, "viewer"},
		{func() { must(t, os.Remove(path)) }, ""},
		{func() { put(`fleettop-role="operator" ` + line) }, "operator"},
		// A FIFO holds nobody up: they are refused, and let in when the file is back.
		{func() { must(t, os.Remove(path)); must(t, unix.Mkfifo(path, 0o600)) }, ""},
		{func() { put(line) }, "viewer"},
	} {
		step.do()
		if got := find(); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestUntrustedFiles(t *testing.T) {
	_, line := newKey(t)
	for name, prepare := range map[string]func(dir, path string){
		"writable by everybody": func(_, path string) { must(t, os.Chmod(path, 0o602)) },
		"writable by its group": func(_, path string) { must(t, os.Chmod(path, 0o620)) },
		"in a folder for all":   func(dir, _ string) { must(t, os.Chmod(dir, 0o777)) },
		"below a folder for all": func(dir, path string) {
			must(t, os.Mkdir(dir+"/sub", 0o755))
			must(t, os.Rename(path, dir+"/sub/keys"))
			must(t, os.Symlink(dir+"/sub/keys", path))
			must(t, os.Chmod(dir, 0o777))
		},
		"a FIFO":    func(_, path string) { must(t, os.Remove(path)); must(t, unix.Mkfifo(path, 0o600)) },
		"not there": func(_, path string) { must(t, os.Remove(path)) },
		"a folder":  func(_, path string) { must(t, os.Remove(path)); must(t, os.Mkdir(path, 0o755)) },
		"a stranger's": func(_, path string) {
			if os.Geteuid() != 0 {
				must(t, os.Chmod(path, 0o666)) // only root can give a file away
				return
			}
			must(t, os.Chown(path, 12345, 12345))
		},
		"too large": func(_, path string) { must(t, os.Truncate(path, maxKeysFile+1)) },
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "keys")
		must(t, os.WriteFile(path, []byte(line), 0o600))
		if _, err := openKeyring(path, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatalf("before: %v", err)
		}
		prepare(dir, path)
		if _, err := openKeyring(path, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: taken", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}

func TestHostKeyIsKept(t *testing.T) {
	dir := t.TempDir()
	_, first, err := hostKey(dir)
	must(t, err)
	_, second, err := hostKey(dir)
	must(t, err)
	if a, b := gossh.FingerprintSHA256(first.PublicKey()), gossh.FingerprintSHA256(second.PublicKey()); a != b {
		t.Errorf("it was %s and is %s", a, b)
	}
	path := filepath.Join(dir, hostKeyFile)
	st, err := os.Stat(path)
	must(t, err)
	if st.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v", st.Mode())
	}
	must(t, os.Chmod(path, 0o640))
	if _, _, err := hostKey(dir); err == nil || !strings.Contains(err.Error(), "read by others") {
		t.Errorf("with a loose mode: %v", err)
	}
	must(t, os.Chmod(path, 0o600))
	must(t, os.WriteFile(path, []byte("x"), 0o600))
	if _, _, err := hostKey(dir); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("with nonsense in it: %v", err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, ".*")); len(files) != 0 {
		t.Errorf("left behind: %v", files)
	}
}

func TestGate(t *testing.T) {
	l := Limits{Logins: 5, LoginsPerFrom: 3, Burst: 2, PerFailure: time.Second, Sessions: 3, SessionsPerKey: 2}
	l.complete()
	g := newGate(l)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	a, b, c := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	var ended []string
	begin := func(name string, from netip.Addr) *login {
		t.Helper()
		return g.begin(from, now, func() { ended = append(ended, name) })
	}
	gone := func(want string) {
		t.Helper()
		if got := strings.Join(ended, " "); got != want {
			t.Fatalf("these had to make room: %s, expected %s", got, want)
		}
		ended = nil
	}
	a1, a2, a3 := begin("a1", a), begin("a2", a), begin("a3", a)
	g.showed(a1)
	a4 := begin("a4", a) // the oldest that has shown no key makes room
	gone("a2")
	g.end(a2, now, false) // which it notices later
	b1, b2 := begin("b1", b), begin("b2", b)
	g.showed(a3)
	c1 := begin("c1", c) // and of all, one of the source with the most
	gone("a4")
	for _, l := range []*login{b1, b2, c1} {
		g.showed(l)
	}
	a5 := begin("a5", a)
	g.showed(a5)
	gone("a1") // a public key is known to many: showing one holds no place for ever
	for _, l := range []*login{a1, a3, a4, a5, b1, b2, c1} {
		g.end(l, now, false)
		g.end(l, now, false)
	}
	if g.logins != 0 {
		t.Errorf("%d logins are counted and none is there", g.logins)
	}

	owes := func(from netip.Addr) bool {
		l := begin("x", from)
		defer g.end(l, now, false)
		return g.owes(l, now)
	}
	for range 5 {
		g.end(begin("x", a), now, true)
	}
	if !owes(a) || owes(b) {
		t.Errorf("after five failures of a: a owes %v, b owes %v", owes(a), owes(b))
	}
	now = now.Add(1500 * time.Millisecond)
	if owes(a) {
		t.Error("no failure is forgotten")
	}
	g.end(begin("x", a), now, true)
	if !owes(a) {
		t.Error("one more failure doesn't count")
	}

	must(t, g.enter("x"))
	must(t, g.enter("x"))
	if err := g.enter("x"); err == nil || !strings.Contains(err.Error(), "this key has 2") {
		t.Errorf("a third session of a key: %v", err)
	}
	must(t, g.enter("y"))
	if err := g.enter("z"); err == nil || !strings.Contains(err.Error(), "3 sessions") {
		t.Errorf("a fourth session: %v", err)
	}
	g.leave("x")
	must(t, g.enter("z"))
	if len(g.byKey) != 3 {
		t.Errorf("counts of %d keys are kept", len(g.byKey))
	}
}

// TestGateForgets keeps the memory of strangers bounded.
func TestGateForgets(t *testing.T) {
	l := Limits{}
	l.complete()
	g := newGate(l)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 3 * maxSources {
		from := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		g.end(g.begin(from, now, func() {}), now, true)
	}
	if n := len(g.sources); n > maxSources {
		t.Errorf("%d sources are remembered", n)
	}
	one, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff")
	if household(one) != household(other) || household(one) == household(netip.MustParseAddr("2001:db8:0:1::1")) {
		t.Error("an IPv6 household is not its /64")
	}
}
