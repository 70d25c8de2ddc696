package theme

import (
	"io"
	"strings"
	"testing"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
)

func TestColours(t *testing.T) {
	r := lipgloss.NewRenderer(io.Discard)
	for _, c := range []struct {
		profile termenv.Profile
		spec    string
		on      string
	}{
		{termenv.ANSI, "green", "\x1b[32m"},
		{termenv.ANSI, "bold bright-red", "\x1b[1;91m"},
		{termenv.TrueColor, "#ff0000 on 17", "\x1b[38;2;255;0;0;48;5;17m"},
		{termenv.Ascii, "bold reverse green", "\x1b[1;7m"},
		{termenv.Ascii, "green", ""},
	} {
		r.SetColorProfile(c.profile)
		look, err := New(r, Options{Colours: Colours{"good": c.spec}})
		if err != nil {
			t.Fatal(err)
		}
		if look.Good.On != c.on || look.Good.Solid != strings.Contains(c.spec, "reverse") {
			t.Errorf("%s is %+v, want %q", c.spec, look.Good, c.on)
		}
	}
	for name, spec := range map[string]string{"nothing": "red", "good": "reddish", "bad": "256", "text": "#12345"} {
		if _, err := New(r, Options{Colours: Colours{name: spec}}); err == nil {
			t.Errorf("%s = %q is taken", name, spec)
		}
	}
	r.SetColorProfile(termenv.ANSI)
	bare, err := New(r, Options{Bare: true, Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	if bare.Cursor.On != "" || strings.ContainsFunc(bare.Glyphs.Good+bare.Arrow+strings.Join(bare.Box[:], ""), func(r rune) bool { return r > 0x7e }) {
		t.Errorf("a bare theme has %q and %q", bare.Cursor.On, bare.Arrow)
	}
}
