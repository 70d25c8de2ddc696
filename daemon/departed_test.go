package daemon

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fleettop/daemon/keys"
	"fleettop/daemon/trust"
)

func TestServiceOf(t *testing.T) {
	for _, c := range []struct{ cgroups, unit, flags string }{
		{"0::/system.slice/fleettop.service\n", "fleettop.service", ""},
		{"12:pids:/system.slice/x.service\n1:name=systemd:/system.slice/fleettop.service\n", "fleettop.service", ""},
		{"0::/user.slice/user-1000.slice/user@1000.service/app.slice/fleettop.service\n", "fleettop.service", "--user"},
		{"0::/user.slice/user-0.slice/session-1.scope\n", "", ""},
		{"0::/\n", "", ""},
		{"", "", ""},
	} {
		unit, args := serviceOf(c.cgroups)
		if unit != c.unit || strings.Join(args, " ") != c.flags {
			t.Errorf("%q: %q %q, expected %q %q", c.cgroups, unit, args, c.unit, c.flags)
		}
	}
}

// A key of another cluster that a machine has is told of before the token is
// used, and kept when it is replaced.
func TestJoiningKeepsTheKeyThatWasThere(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 1)
	m.start()
	m.untilVoting(1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	token, err := m.client().JoinToken(ctx)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	j := JoinConfig{Token: token.Token, Addresses: token.Addresses, KeyFile: filepath.Join(dir, "key"), StateDir: dir}
	inTheWay := func(want string) {
		t.Helper()
		if got, err := trust.KeyInTheWay(j.Token, j.KeyFile); err != nil || (got == "") != (want == "") ||
			!strings.Contains(got, want) {
			t.Errorf("in the way is %q (%v), expected %q", got, err, want)
		}
	}
	inTheWay("")
	if err := m.ring().Save(j.KeyFile); err != nil {
		t.Fatal(err)
	}
	inTheWay("")
	if err := os.WriteFile(j.KeyFile, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	inTheWay("can't be read")
	foreign := keys.NewRing(keys.Generate())
	if err := foreign.Save(j.KeyFile); err != nil {
		t.Fatal(err)
	}
	inTheWay(foreign.Primary().ID())
	joined, err := Join(ctx, j)
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := keys.Load(joined.Aside); err != nil || !kept.Equal(foreign) {
		t.Errorf("kept as %q is %s (%v), expected %s", joined.Aside, kept, err, foreign)
	}
	if got, err := keys.Load(j.KeyFile); err != nil || !got.Equal(m.ring()) {
		t.Errorf("the key is %s (%v), expected %s", got, err, m.ring())
	}
}
