package widgets

import (
	"strconv"
	"strings"

	"fleettop/tui/draw"
	"fleettop/tui/theme"
)

// CountFrom is the number of targets from which it must be typed.
const CountFrom = 6

// Confirm asks before something that can't be taken back. Its targets are
// those of the moment it was opened; the answer is No until Yes was chosen.
type Confirm struct {
	Title   string
	Targets []string
	Effect  string // a sentence: what will happen
	Verb    string // of the Yes button
	Value   any    // handed back

	yes   bool
	typed string
}

// Answer is what became of a question.
type Answer uint8

// Answers.
const (
	Open Answer = iota
	Yes
	No
)

// Key takes a key.
func (c *Confirm) Key(key string) Answer {
	switch key {
	case "esc", "ctrl+c", "q":
		return No
	case "n":
		return No
	case "y":
		if c.counts() {
			return Open // a count is asked for, not a reflex
		}
		return Yes
	case "left", "right", "tab", "h", "l", "shift+tab":
		c.yes = !c.yes
	case "backspace":
		c.typed = c.typed[:max(0, len(c.typed)-1)]
	case "enter":
		switch {
		case c.counts() && c.typed == strconv.Itoa(len(c.Targets)):
			return Yes
		case c.counts():
			return Open
		case c.yes:
			return Yes
		}
		return No
	default:
		if len(key) == 1 && key[0] >= '0' && key[0] <= '9' && len(c.typed) < 6 {
			c.typed += key
		}
	}
	return Open
}

func (c *Confirm) counts() bool { return len(c.Targets) >= CountFrom }

// View returns the lines of the box, for a screen of a size.
func (c *Confirm) View(t *theme.Theme, width, height int) []string {
	inner := min(64, width-6)
	effect := Wrap(c.Effect, inner)
	room := max(1, height-8-len(effect))
	var body []string
	shown := c.Targets
	if len(shown) > room {
		shown = shown[:room-1]
	}
	for _, target := range shown {
		body = append(body, t.Strong.Apply(draw.Fit("  "+target, inner)))
	}
	if more := len(c.Targets) - len(shown); more > 0 {
		body = append(body, t.Dim.Apply(draw.Fit("  … and "+strconv.Itoa(more)+" more", inner)))
	}
	body = append(body, "")
	body = append(body, effect...)
	body = append(body, "")
	if c.counts() {
		body = append(body, "Type "+t.Strong.Apply(strconv.Itoa(len(c.Targets)))+" to "+c.Verb+": "+t.Tab.Apply(" "+c.typed+"_ "))
		body = append(body, t.Dim.Apply("enter does it, esc does not"))
	} else {
		yes, no := "  "+c.Verb+"  ", "  No  "
		if c.yes {
			body = append(body, t.Tab.Apply(yes)+"  "+no)
		} else {
			body = append(body, yes+"  "+t.Tab.Apply(no))
		}
	}
	return Box(t, c.Title, body, inner, t.Bad)
}

// Wrap breaks plain text.
func Wrap(text string, w int) []string { return draw.Wrap(text, w) }

// Box puts a frame with a title around lines that are at most w wide.
func Box(t *theme.Theme, title string, body []string, w int, ink draw.Ink) []string {
	g := t.Box
	title = draw.Fit(title, w-2)
	out := []string{ink.Apply(g[0]+g[4]+" ") + t.Strong.Apply(title) + ink.Apply(" "+strings.Repeat(g[4], max(0, w-draw.Width(title)-1))+g[1])}
	for _, line := range body {
		pad := max(0, w-draw.Width(line))
		out = append(out, ink.Apply(g[5])+" "+line+strings.Repeat(" ", pad)+" "+ink.Apply(g[5]))
	}
	return append(out, ink.Apply(g[3]+strings.Repeat(g[4], w+2)+g[2]))
}
