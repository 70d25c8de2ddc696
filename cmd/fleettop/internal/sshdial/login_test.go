package sshdial_test

import (
	"strings"
	"testing"

	"fleettop/cmd/fleettop/internal/sshdial"
)

func TestLoginArgs(t *testing.T) {
	via := func(text string) *sshdial.Remote {
		r, err := sshdial.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return &r
	}
	for _, c := range []struct {
		login sshdial.Login
		want  string
	}{
		{sshdial.Login{Address: "198.18.1.2"}, "-- 198.18.1.2"},
		{sshdial.Login{Address: "198.18.1.2", Command: []string{"ls", "-l"}}, "-- 198.18.1.2 ls -l"},
		{sshdial.Login{Address: "fd00::2", User: "core", ForwardAgent: true, Terminal: true}, "-A -t -l core -- fd00::2"},
		{sshdial.Login{Address: "198.18.1.2", Via: via("ssh://n1")}, "-J n1 -- 198.18.1.2"},
		{sshdial.Login{Address: "198.18.1.2", User: "ada", Via: via("ssh://ada@n1:2222/run/x.sock")}, "-J ada@n1:2222 -l ada -- 198.18.1.2"},
		{sshdial.Login{Address: "fd00::2", Via: via("ssh://[fd00::1]")}, "-J [fd00::1] -- fd00::2"},
		{sshdial.Login{Address: "fd00::2", Via: via("ssh://ada@[fd00::1]:22")}, "-J ada@[fd00::1]:22 -- fd00::2"},
	} {
		if got := strings.Join(c.login.Args(), " "); got != c.want {
			t.Errorf("ssh %s, want ssh %s", got, c.want)
		}
	}
}
