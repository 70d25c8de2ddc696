package tui

import (
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"

	"fleettop/tui/theme"
)

// colours sets the renderer up for what a person's terminal can show; eight
// says that those are eight colours.
func colours(o *Options) (eight bool) {
	name := o.Env("TERM")
	profile := o.Renderer.ColorProfile()
	switch {
	case o.NoColor:
		profile = termenv.Ascii
	case name == "screen" || profile == termenv.Ascii && coloured(name):
		profile, eight = termenv.ANSI, true
	}
	o.Renderer.SetColorProfile(profile)
	return eight
}

// dressed is the theme of the options' configuration, and what frames go
// through, for a terminal that colours has looked at.
func dressed(o *Options, eight bool) (look *theme.Theme, frame func(string) string, err error) {
	name := o.Env("TERM")
	full := o.Config.Glyphs == "full"
	ascii := o.Plain || !full && asciiLocale(o)
	plain := ascii || o.Config.Glyphs == "ascii" || !full && plainTerminal(name)
	look, err = theme.New(o.Renderer, theme.Options{Colours: o.Config.Colors, Plain: plain, Eight: eight})
	switch {
	case ascii:
		frame = func(s string) string { return toASCII(s, true) }
	case plain:
		frame = func(s string) string { return toASCII(s, false) }
	default:
		frame = func(s string) string { return s }
	}
	return look, frame, err
}

// plainTerminal reports whether a terminal's font lacks the console's glyphs.
func plainTerminal(name string) bool {
	return name == "linux" || strings.HasPrefix(name, "vt")
}

// coloured reports whether a terminal has colours whose name doesn't say so:
// the eight that all have.
func coloured(name string) bool {
	for _, kind := range []string{"xterm", "screen", "tmux", "rxvt", "linux", "konsole", "putty", "st", "alacritty",
		"foot", "contour", "cygwin"} {
		if name == kind || strings.HasPrefix(name, kind+"-") || strings.HasPrefix(name, kind+".") {
			return !strings.HasSuffix(name, "-mono") && !strings.HasSuffix(name, "-m")
		}
	}
	return false
}

// asciiLocale reports whether a person's locale has no UTF-8. A terminal
// elsewhere that says nothing of it has one, as nearly all do.
func asciiLocale(o *Options) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToLower(o.Env(name)); locale != "" {
			_, charset, _ := strings.Cut(locale, ".")
			return !strings.HasPrefix(charset, "utf-8") && !strings.HasPrefix(charset, "utf8")
		}
	}
	return o.Sizes == nil
}

// signs are signs of ASCII, as wide, for those that texts have beside the
// theme's glyphs: the daemon's, and where something was cut off.
var signs = map[rune]byte{'…': '~', '→': '>', '·': '-', '–': '-', '›': '>', '‘': '\'', '’': '\'', '“': '"',
	'”': '"', '\u00a0': ' '}

// toASCII is a frame for a terminal without the console's glyphs, or with all
// for one that shows nothing but ASCII. It stays as wide as it was.
func toASCII(frame string, all bool) string {
	if strings.IndexFunc(frame, func(r rune) bool { return r > 0x7e }) < 0 {
		return frame
	}
	var b strings.Builder
	for len(frame) > 0 {
		if c := frame[0]; c < 0x80 && (len(frame) == 1 || frame[1] < 0x80) {
			b.WriteByte(c)
			frame = frame[1:]
			continue
		}
		cluster, width := ansi.FirstGraphemeCluster(frame, ansi.GraphemeWidth)
		frame = frame[len(cluster):]
		first, _ := utf8.DecodeRuneInString(cluster)
		switch sign, ok := signs[first]; {
		case ok:
			b.WriteByte(sign)
		case !all:
			b.WriteString(cluster)
		case first < 0x80:
			b.WriteRune(first)
		default:
			b.WriteString(strings.Repeat("?", width))
		}
	}
	return b.String()
}
