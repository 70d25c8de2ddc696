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
		look, err := New(r, Options{Colours: Colours{name: spec}})
		if err != nil || len(look.Warnings) != 1 || !strings.Contains(look.Warnings[0], `"`+name+`"`) {
			t.Errorf("%s = %q: %v, %q, want one warning that names it", name, spec, err, look.Warnings)
		}
	}
	r.SetColorProfile(termenv.ANSI)
	bare, err := New(r, Options{Bare: true, Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	if bare.Cursor.On != "" || strings.ContainsFunc(bare.Glyphs.Good+bare.Arrow+strings.Join(bare.Box[:], ""),
		func(r rune) bool { return r > 0x7e }) {
		t.Errorf("a bare theme has %q and %q", bare.Cursor.On, bare.Arrow)
	}
}

// TestEightColours is a terminal that has no others: bright ones are bold.
func TestEightColours(t *testing.T) {
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(termenv.ANSI)
	for spec, want := range map[string]string{
		"green": "\x1b[32m", "bright-blue": "\x1b[1;34m", "bold bright-red": "\x1b[1;31m",
		"black on bright-yellow": "\x1b[30;43m", "#ff5555": "\x1b[1;31m", "": "",
	} {
		look, err := New(r, Options{Colours: Colours{"info": spec}, Eight: true})
		if err != nil || look.Info.On != want {
			t.Errorf("%q is %q (%v), want %q", spec, look.Info.On, err, want)
		}
	}
}
