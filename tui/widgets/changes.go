package widgets

import (
	"fmt"

	"fleettop/tui/draw"
	"fleettop/tui/theme"
)

// scroll takes a key that moves through the changes, and reports whether it was one.
func (c *Confirm) scroll(key string) bool {
	last := max(0, len(c.Changes)-c.shown)
	switch key {
	case "down", "j":
		c.from++
	case "up", "k":
		c.from--
	case "pgdown", "ctrl+d", "ctrl+f", " ":
		c.from += c.shown
	case "pgup", "ctrl+u", "ctrl+b":
		c.from -= c.shown
	case "home", "g":
		c.from = 0
	case "end", "G":
		c.from = last
	default:
		return false
	}
	c.from = min(max(c.from, 0), last)
	return true
}

// changes are the lines that changed, each with its sign, as many as there is
// room for; with more, a last line says which are shown.
func (c *Confirm) changes(t *theme.Theme, width, room int) []string {
	c.shown = min(room, len(c.Changes))
	if c.shown < len(c.Changes) && room > 1 {
		c.shown = room - 1
	}
	c.from = min(c.from, len(c.Changes)-c.shown)
	var out []string
	for _, l := range c.Changes[c.from : c.from+c.shown] {
		text, ink := l.Text, t.Dim
		switch l.Sign {
		case '+':
			text, ink = "+ "+text, t.Good
		case '-':
			text, ink = "- "+text, t.Bad
		case ' ':
			text, ink = "  "+text, t.Text
		}
		out = append(out, ink.Apply(draw.Fit(draw.Clean(text), width)))
	}
	if c.shown < len(c.Changes) && room > 1 {
		out = append(out, t.Dim.Apply(draw.Fit(fmt.Sprintf("lines %d to %d of %d; j and k scroll", c.from+1,
			c.from+c.shown, len(c.Changes)), width)))
	}
	return out
}
