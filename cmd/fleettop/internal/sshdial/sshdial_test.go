package sshdial_test

import (
	"strings"
	"testing"

	"fleettop/cmd/fleettop/internal/sshdial"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text string
		args string // of ssh
		says string
	}{
		{"ssh://n1", "-T -- n1 fleettop dial-stdio", ""},
		{"ssh://ada@n1", "-T -l ada -- n1 fleettop dial-stdio", ""},
		{"ssh://ada@n1:2222/", "-T -l ada -p 2222 -- n1 fleettop dial-stdio", ""},
		{"ssh://[fd00::1]:22", "-T -p 22 -- fd00::1 fleettop dial-stdio", ""},
		{"ssh://n1/tmp/x/fleettop.sock", "-T -- n1 fleettop dial-stdio --endpoint unix:///tmp/x/fleettop.sock", ""},
		{"n1", "", "ssh://user@host"},
		{"http://n1", "", "not an address of ssh's"},
		{"ssh://", "", "names no host"},
		{"ssh:n1", "", "not an address of ssh's"},
		{"ssh://ada:secret@n1", "", "password"},
		{"ssh://-oProxyCommand=x", "", "no host has"},
		{"ssh://-oProxyCommand=x@n1", "", "no user has"},
		{"ssh://n1%20-v", "", "host"},
		{"ssh://ada%0a@n1", "", "no user has"},
		{"ssh://n1:0", "", "no port"},
		{"ssh://::1:22", "", "ssh://[::1]:22"},
		{"ssh://ada@fd00::1", "", "brackets"},
		{"ssh://fe80::1%eth0:22", "", "brackets"},
		{"ssh://n1:99999", "", "no port"},
		{"ssh://n1/$(reboot)", "", "socket"},
		{"ssh://n1/a%20b", "", "socket"},
		{"ssh://n1/a;b", "", "socket"},
		{"ssh://n1?x=y", "", "not an address"},
	} {
		r, err := sshdial.Parse(c.text)
		switch {
		case c.says == "" && (err != nil || strings.Join(r.Args(), " ") != c.args):
			t.Errorf("%s: ssh %v, %v, want ssh %s", c.text, r.Args(), err, c.args)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want something about %q", c.text, err, c.says)
		case c.says != "" && strings.Contains(err.Error(), "secret") && !strings.Contains(c.text, "secret"):
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"ssh://ada@n1:2222", "ssh://[fd00::1]", "ssh://-v@n1", "ssh://n1/run/x.sock", "ssh://n1/$(x)"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := sshdial.Parse(text)
		if err != nil {
			return
		}
		args := r.Args()
		for i, a := range args {
			if a == "--" {
				if args[i+1] != r.Host || strings.HasPrefix(r.User, "-") || strings.HasPrefix(r.Host, "-") {
					t.Errorf("%q becomes ssh %q", text, args)
				}
				if strings.ContainsAny(strings.Join(args[i+2:], ""), " \t\n;&|$`'\"\\<>(){}*?~#!") {
					t.Errorf("%q runs %q in the far shell", text, args[i+2:])
				}
				return
			}
		}
		t.Errorf("%q becomes ssh %q", text, args)
	})
}
