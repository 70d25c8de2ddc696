package widgets

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"fleettop/tui/draw"
	"fleettop/tui/linediff"
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
	// Changes are shown in the place of the targets, and can be scrolled.
	Changes []linediff.Line
	Again   string // the verb of a third way, which its first letter chooses; empty for none
	// Word must be typed, whatever the number of targets; empty for none.
	Word string

	yes   bool
	from  int // the first of the changes that is shown
	shown int // how many are, in the last frame
	typed string
}

// Answer is what became of a question.
type Answer uint8

// Answers.
const (
	Open Answer = iota
	Yes
	No
	Again
)

// Key takes a key.
func (c *Confirm) Key(key string) Answer {
	if c.Word != "" {
		return c.typing(key)
	}
	if c.Again != "" && key == c.Again[:1] {
		return Again
	}
	if len(c.Changes) > 0 && c.scroll(key) {
		return Open
	}
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

// typing takes a key where a word must be typed.
func (c *Confirm) typing(key string) Answer {
	switch key {
	case "esc", "ctrl+c":
		return No
	case "enter":
		if c.typed == c.Word {
			return Yes
		}
	case "backspace":
		_, size := utf8.DecodeLastRuneInString(c.typed)
		c.typed = c.typed[:len(c.typed)-size]
	default:
		if utf8.RuneCountInString(key) == 1 && len(c.typed) < 2*len(c.Word) {
			c.typed += key
		}
	}
	return Open
}

// asked is what must be typed; empty where a button is chosen.
func (c *Confirm) asked() string {
	if c.Word == "" && c.counts() {
		return strconv.Itoa(len(c.Targets))
	}
	return c.Word
}

func (c *Confirm) counts() bool { return len(c.Targets) >= CountFrom }

// View returns the lines of the box, for a screen of a size.
func (c *Confirm) View(t *theme.Theme, width, height int) []string {
	inner := min(64, width-4)
	if len(c.Changes) > 0 {
		inner = min(100, width-4)
	}
	effect := Wrap(c.Effect, inner)
	rest := 6 + len(effect) // lines of the box without targets, and one of the screen
	asked := c.asked()
	if asked != "" {
		rest++
	}
	var body []string
	if len(c.Changes) > 0 {
		body = c.changes(t, inner, max(1, height-rest-1))
	} else {
		for _, line := range c.targets(inner-2, max(1, height-rest)) {
			body = append(body, "  "+t.Strong.Apply(line))
		}
	}
	body = append(body, "")
	body = append(body, effect...)
	body = append(body, "")
	if asked != "" {
		body = append(body, "Type "+t.Strong.Apply(asked)+" to "+c.Verb+": "+t.Tab.Apply(" "+c.typed+"_ "))
		body = append(body, t.Dim.Apply("enter does it, esc does not"))
	} else {
		button := func(text string, chosen bool) string {
			if chosen {
				return t.Tab.Apply(t.Chosen(" " + text + " "))
			}
			return "  " + text + "  "
		}
		buttons := button(c.Verb, c.yes) + "  " + button("No", !c.yes)
		if c.Again != "" {
			buttons += "  " + t.Key.Apply(c.Again[:1]) + " " + t.Dim.Apply(c.Again)
		}
		body = append(body, buttons)
	}
	return Box(t, c.Title, body, inner, t.Bad)
}

// targets are their names in at most some lines: one a line, or else as many
// as there is room for.
func (c *Confirm) targets(width, room int) []string {
	if len(c.Targets) <= room {
		lines := make([]string, len(c.Targets))
		for i, target := range c.Targets {
			lines[i] = draw.Fit(target, width)
		}
		return lines
	}
	var lines []string
	var told []int // targets up to the end of each line
	for i, target := range c.Targets {
		n := len(lines)
		if target = draw.Fit(target, width); n > 0 && draw.Width(lines[n-1])+2+draw.Width(target) <= width {
			lines[n-1] += ", " + target
			told[n-1] = i + 1
			continue
		}
		lines, told = append(lines, target), append(told, i+1)
	}
	if len(lines) > room {
		left := len(c.Targets)
		if room > 1 {
			left -= told[room-2]
		}
		lines = append(lines[:room-1], "… and "+strconv.Itoa(left)+" more")
	}
	return lines
}

// Wrap breaks plain text.
func Wrap(text string, w int) []string { return draw.Wrap(text, w) }

// Box puts a frame with a title around lines that are at most w wide.
func Box(t *theme.Theme, title string, body []string, w int, ink draw.Ink) []string {
	g := t.Box
	title = draw.Fit(title, w-2)
	out := []string{ink.Apply(g[0]+g[4]+" ") + t.Strong.Apply(title) +
		ink.Apply(" "+strings.Repeat(g[4], max(0, w-draw.Width(title)-1))+g[1])}
	for _, line := range body {
		pad := max(0, w-draw.Width(line))
		out = append(out, ink.Apply(g[5])+" "+line+strings.Repeat(" ", pad)+" "+ink.Apply(g[5]))
	}
	return append(out, ink.Apply(g[3]+strings.Repeat(g[4], w+2)+g[2]))
}
