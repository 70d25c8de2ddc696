// Package theme is how the console looks: inks for what things mean, and the
// glyphs that say the same without colour.
//
// The default keeps to the terminal's own sixteen colours, so that it fits
// light and dark backgrounds; a theme file may name others.
package theme

import (
	"fmt"
	"maps"
	"slices"
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
	Moved, Link                 draw.Ink
	Section, Option, Comment    draw.Ink // of a unit file
	Glyphs
}

// Glyphs are the symbols beside the words.
type Glyphs struct {
	Good, Busy, Bad, Idle, Ghost, Warn string
	Arrow, Cursor, Mark, Dot, Bar      string
	Up, Down, Star                     string
	Sparks                             []string
	Box                                [8]string // corners from top left clockwise, horizontal, vertical, two tees
}

var plainGlyphs = Glyphs{Good: "*", Busy: "~", Bad: "!", Idle: "-", Ghost: "?", Warn: "!", Arrow: "->", Cursor: ">", Mark: "+", Dot: "|", Bar: "|",
	Up: "^", Down: "v", Star: "*", Sparks: []string{"_", ".", ":", "-", "=", "+", "#", "#"}, Box: [8]string{"+", "+", "+", "+", "-", "|", "+", "+"}}

var fullGlyphs = Glyphs{Good: "●", Busy: "◐", Bad: "✖", Idle: "○", Ghost: "◌", Warn: "▲", Arrow: "→", Cursor: "▌", Mark: "✓", Dot: "·", Bar: "│",
	Up: "▴", Down: "▾", Star: "★", Sparks: []string{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}, Box: [8]string{"╭", "╮", "╯", "╰", "─", "│", "├", "┤"}}

// Colours are what each meaning looks like, as in "bold red", "reverse", or
// "#ffaa00 on 236".
type Colours map[string]string

func defaults() Colours {
	return Colours{
		"text": "", "dim": "bright-black", "strong": "bold", "title": "bold",
		"good": "green", "busy": "yellow", "bad": "bold red", "idle": "bright-black", "info": "cyan",
		"cursor": "reverse", "mark": "bold magenta", "match": "underline",
		"border": "bright-black", "key": "cyan", "tab": "reverse", "banner": "bold reverse yellow",
		"moved": "magenta", "link": "blue",
		"section": "bold blue", "option": "cyan", "comment": "bright-black",
	}
}

// Options say where a theme is used.
type Options struct {
	Colours Colours // over the default
	Plain   bool    // glyphs of ASCII only
	// Bare leaves out all escape sequences, for a terminal that knows none.
	Bare bool
}

// New makes a theme for what a renderer's terminal can show. Without colour
// it still uses bold, reverse and underline.
func New(r *lipgloss.Renderer, o Options) (*Theme, error) {
	t := &Theme{Glyphs: fullGlyphs}
	if o.Plain {
		t.Glyphs = plainGlyphs
	}
	colours := defaults()
	for name, spec := range o.Colours {
		if _, ok := colours[name]; !ok {
			return nil, fmt.Errorf("the theme has a colour for %q, and there is no such thing: choose of %s", name, strings.Join(slices.Sorted(maps.Keys(colours)), ", "))
		}
		colours[name] = spec
	}
	for name, to := range t.inks() {
		ink, err := parse(r, colours[name])
		if err != nil {
			return nil, fmt.Errorf("the theme's colour for %q: %w", name, err)
		}
		if !o.Bare {
			*to = ink
		}
	}
	return t, nil
}

func (t *Theme) inks() map[string]*draw.Ink {
	return map[string]*draw.Ink{
		"text": &t.Text, "dim": &t.Dim, "strong": &t.Strong, "title": &t.Title,
		"good": &t.Good, "busy": &t.Busy, "bad": &t.Bad, "idle": &t.Idle, "info": &t.Info,
		"cursor": &t.Cursor, "mark": &t.Mark, "match": &t.Match,
		"border": &t.Border, "key": &t.Key, "tab": &t.Tab, "banner": &t.Banner,
		"moved": &t.Moved, "link": &t.Link,
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
