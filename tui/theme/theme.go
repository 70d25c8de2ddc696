// Package theme is how the console looks: inks for what things mean, and the
// glyphs that say the same without colour.
//
// The default keeps to the terminal's own sixteen colours, and of those to the
// ones that are legible on light and on dark ground; a theme file may name
// others, as those in package shipped do.
package theme

import (
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"

	"fleettop/tui/draw"
)

// Theme is a set of inks and glyphs. It is read-only once made.
type Theme struct {
	Text, Dim, Strong, Title    draw.Ink
	Good, Busy, Bad, Idle, Info draw.Ink
	Cursor, Mark, Match         draw.Ink
	Border, Key, Tab, Banner    draw.Ink
	Past                        draw.Ink // the line that says that the past is shown
	Moved                       draw.Ink
	Section, Option, Comment    draw.Ink // of a unit file
	// Hues are the colours that writers of logs use: red, green, yellow, blue, magenta, cyan.
	Hues    [6]draw.Ink
	sources []draw.Ink
	Glyphs
	// Warnings say which colours of the options can't be used: these are as by default.
	Warnings []string
}

// Glyphs are the symbols beside the words.
type Glyphs struct {
	Good, Busy, Bad, Idle, Ghost, Warn string
	Again                              string // ended and started, again and again
	Arrow, Cursor, Mark, Dot, Bar      string
	Up, Down, Star                     string
	Sparks                             []string
	Box                                [8]string // corners from top left clockwise, horizontal, vertical, two tees
}

var plainGlyphs = Glyphs{Good: "*", Busy: "~", Bad: "!", Idle: "-", Ghost: "?", Warn: "!", Again: "@", Arrow: "->", Cursor: ">", Mark: "+", Dot: "-", Bar: "|",
	Up: "^", Down: "v", Star: "#", Sparks: []string{"_", ".", ":", "-", "=", "+", "#", "#"}, Box: [8]string{"+", "+", "+", "+", "-", "|", "+", "+"}}

var fullGlyphs = Glyphs{Good: "●", Busy: "◐", Bad: "✖", Idle: "○", Ghost: "◌", Warn: "▲", Again: "↻", Arrow: "→", Cursor: "▌", Mark: "✓", Dot: "·", Bar: "│",
	Up: "▴", Down: "▾", Star: "★", Sparks: []string{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}, Box: [8]string{"╭", "╮", "╯", "╰", "─", "│", "├", "┤"}}

// Colours are what each meaning looks like, as in "bold red", "reverse", or
// "#ffaa00 on 236".
type Colours map[string]string

// defaults keeps to the terminal's own sixteen colours. Of those, magenta,
// bright red and bright blue can be read on light and dark ground with xterm's
// palette, the Linux console's, Solarized and macOS's; yellow and cyan can't be
// on light, blue can't be on dark, and bright black is Solarized's background.
// Green is for what is well, which nobody has to look for.
var defaults = Colours{
	"text": "", "dim": "faint", "strong": "bold", "title": "bold",
	"good": "green", "busy": "magenta", "bad": "bold bright-red", "idle": "faint", "info": "bright-blue",
	"cursor": "reverse", "mark": "bold bright-magenta", "match": "reverse",
	"border": "faint", "key": "bright-blue", "tab": "reverse", "banner": "reverse yellow on black",
	"past":    "reverse cyan on black",
	"moved":   "bright-magenta",
	"section": "bold bright-blue", "option": "bright-blue", "comment": "faint",
}

// sources tell apart who logs; red and yellow are left to what is wrong.
var sources = []string{"bright-blue", "magenta", "bright-magenta", "", "bold bright-blue", "bold magenta", "bold bright-magenta", "bold"}

// Options say where a theme is used.
type Options struct {
	Colours Colours // over the default
	Plain   bool    // glyphs of ASCII only
	Eight   bool    // the terminal has eight colours, and bold for the bright ones
	// Bare leaves out all escape sequences, for a test of what can be seen without any.
	Bare bool
}

// New makes a theme for what a renderer's terminal can show. Without colour
// it still uses bold, reverse and underline.
func New(r *lipgloss.Renderer, o Options) (*Theme, error) {
	t := &Theme{Glyphs: fullGlyphs}
	if o.Plain {
		t.Glyphs = plainGlyphs
	}
	colours := maps.Clone(defaults)
	looks := sources
	for _, name := range slices.Sorted(maps.Keys(o.Colours)) {
		spec := o.Colours[name]
		if name == "sources" {
			looks = t.sourcesOf(r, spec)
		} else if _, ok := colours[name]; !ok {
			t.Warnings = append(t.Warnings,
				fmt.Sprintf("the theme has a colour for %q, and there is no such thing: choose of %s", name,
					strings.Join(append(slices.Sorted(maps.Keys(colours)), "sources"), ", ")))
		} else if _, err := parse(r, spec); err != nil {
			t.Warnings = append(t.Warnings, fmt.Sprintf("the theme's colour for %q: %v", name, err))
		} else {
			colours[name] = spec
		}
	}
	ink := func(spec string) (draw.Ink, error) {
		ink, err := parse(r, spec)
		switch {
		case o.Bare:
			ink = draw.Ink{}
		case o.Eight:
			ink.On = eight(ink.On)
		}
		return ink, err
	}
	for name, to := range t.inks() {
		var err error
		if *to, err = ink(colours[name]); err != nil {
			return nil, err
		}
	}
	for _, to := range []*draw.Ink{&t.Good, &t.Busy, &t.Bad, &t.Moved} {
		to.Over = to.On != ""
	}
	for i := range t.Hues {
		var err error
		if t.Hues[i], err = ink(names[i+1]); err != nil {
			return nil, err
		}
	}
	for _, spec := range looks {
		source, err := ink(spec)
		if err != nil {
			return nil, err
		}
		t.sources = append(t.sources, source)
	}
	return t, nil
}

// sourcesOf are the looks of a list of them, with commas between; the default
// where one of them is wrong.
func (t *Theme) sourcesOf(r *lipgloss.Renderer, spec string) []string {
	list := strings.Split(spec, ",")
	for _, one := range list {
		if _, err := parse(r, one); err != nil {
			t.Warnings = append(t.Warnings, fmt.Sprintf("the theme's colours for sources: %v", err))
			return sources
		}
	}
	return list
}

// eight is a sequence of attributes with the eight bright colours as the plain
// ones: in bold, where they are of the text.
func eight(seq string) string {
	body, ok := strings.CutSuffix(strings.TrimPrefix(seq, "\x1b["), "m")
	if !ok {
		return seq
	}
	var out []string
	bold := false
	for _, p := range strings.Split(body, ";") {
		bold = bold || p == "1"
		if n, err := strconv.Atoi(p); err == nil && n >= 90 && n <= 97 {
			if !bold {
				out = append(out, "1")
			}
			p = strconv.Itoa(n - 60)
		} else if err == nil && n >= 100 && n <= 107 {
			p = strconv.Itoa(n - 60)
		}
		out = append(out, p)
	}
	return "\x1b[" + strings.Join(out, ";") + "m"
}

// Source is the ink of a unit's log on a machine, the same today and tomorrow.
func (t *Theme) Source(unit, machine string) draw.Ink {
	return t.sources[crc32.ChecksumIEEE([]byte(unit+"@"+machine))%uint32(len(t.sources))]
}

// Chosen is the label of the one of several that is chosen, to be written in
// the ink Tab: in brackets where a terminal has no inks.
func (t *Theme) Chosen(label string) string {
	if t.Tab == (draw.Ink{}) {
		return "[" + label + "]"
	}
	return " " + label + " "
}

func (t *Theme) inks() map[string]*draw.Ink {
	return map[string]*draw.Ink{
		"text": &t.Text, "dim": &t.Dim, "strong": &t.Strong, "title": &t.Title,
		"good": &t.Good, "busy": &t.Busy, "bad": &t.Bad, "idle": &t.Idle, "info": &t.Info,
		"cursor": &t.Cursor, "mark": &t.Mark, "match": &t.Match,
		"border": &t.Border, "key": &t.Key, "tab": &t.Tab, "banner": &t.Banner, "past": &t.Past,
		"moved":   &t.Moved,
		"section": &t.Section, "option": &t.Option, "comment": &t.Comment,
	}
}

var names = []string{"black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"}

// parse reads a look: attributes and a colour, "on" and a background.
func parse(r *lipgloss.Renderer, spec string) (draw.Ink, error) {
	style := r.NewStyle()
	var attrs []string
	ground, solid := false, false
	for _, word := range strings.Fields(strings.ToLower(spec)) {
		switch word {
		case "bold":
			style, attrs = style.Bold(true), append(attrs, "1")
		case "faint":
			style, attrs = style.Faint(true), append(attrs, "2")
		case "italic":
			style, attrs = style.Italic(true), append(attrs, "3")
		case "underline":
			style, attrs = style.Underline(true), append(attrs, "4")
		case "reverse":
			style, attrs, solid = style.Reverse(true), append(attrs, "7"), true
		case "on":
			ground = true
		default:
			colour, err := colourOf(word)
			if err != nil {
				return draw.Ink{}, err
			}
			if ground {
				style = style.Background(colour)
			} else {
				style = style.Foreground(colour)
			}
		}
	}
	if r.ColorProfile() == termenv.Ascii {
		if len(attrs) == 0 {
			return draw.Ink{}, nil
		}
		return draw.Ink{On: "\x1b[" + strings.Join(attrs, ";") + "m", Solid: solid}, nil
	}
	on, _, _ := strings.Cut(style.Render("x"), "x")
	return draw.Ink{On: on, Solid: solid}, nil
}

func colourOf(word string) (lipgloss.Color, error) {
	name, bright := strings.CutPrefix(word, "bright-")
	if i := slices.Index(names, name); i >= 0 {
		if bright {
			i += 8
		}
		return lipgloss.Color(fmt.Sprint(i)), nil
	}
	var n int
	if _, err := fmt.Sscanf(word, "%d", &n); err == nil && n >= 0 && n <= 255 && fmt.Sprint(n) == word {
		return lipgloss.Color(word), nil
	}
	if len(word) == 7 && word[0] == '#' && strings.Trim(word[1:], "0123456789abcdef") == "" {
		return lipgloss.Color(word), nil
	}
	return "", fmt.Errorf("%q is no colour: give a name such as red or bright-blue, a number from 0 to 255, or #rrggbb", word)
}
