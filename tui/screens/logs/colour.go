package logs

import (
	"strconv"
	"strings"

	"fleettop/tui/draw"
)

// A log line's writer may colour its text (ANSI's "select graphic rendition"). Colours of the text
// are shown. Nothing else is obeyed: backgrounds, black and white would hide text on one terminal or
// another, and are left out with bold and underline; any other sequence is shown for what it is.

// noColour is the colour of text that has none of its own; others are indices in theme.Hues.
const noColour = -1

// hue says that text has a colour from a place on.
type hue struct{ from, colour int }

// takeColours returns a text without the sequences that colour it, and the colours.
func takeColours(text string) (string, []hue) {
	if strings.IndexByte(text, 0x1b) < 0 {
		return text, nil
	}
	var b strings.Builder
	var hues []hue
	colour := noColour
	for text != "" {
		i := strings.IndexByte(text, 0x1b)
		if i < 0 {
			break
		}
		b.WriteString(text[:i])
		text = text[i:]
		n, next, ok := rendition(text, colour)
		if !ok { // it stays, and is made visible
			b.WriteByte(text[0])
			text = text[1:]
			continue
		}
		text = text[n:]
		if next != colour {
			colour = next
			hues = append(hues, hue{b.Len(), colour})
		}
	}
	b.WriteString(text)
	return b.String(), hues
}

// rendition reads a sequence that says how text looks, and returns its length and the colour it leaves
// the text in; ok is false for any other, and for one that blinks, hides or reverses.
func rendition(text string, colour int) (n, next int, ok bool) {
	const longest = 64
	body, found := strings.CutPrefix(text, "\x1b[")
	end := strings.IndexByte(body[:min(len(body), longest)], 'm')
	if !found || end < 0 {
		return 0, colour, false
	}
	params := strings.Split(body[:end], ";")
	for len(params) > 0 {
		p := 0
		if params[0] != "" {
			var err error
			if p, err = strconv.Atoi(params[0]); err != nil {
				return 0, colour, false
			}
		}
		params = params[1:]
		switch {
		case p == 0 || p == 39:
			colour = noColour
		case p >= 30 && p <= 37:
			colour = basic(p - 30)
		case p >= 90 && p <= 97:
			colour = basic(p - 90)
		case p == 38 || p == 48:
			c, used := extended(params)
			if used == 0 {
				return 0, colour, false
			}
			if params = params[used:]; p == 38 {
				colour = c
			}
		case p >= 1 && p <= 4, p >= 21 && p <= 24, p >= 40 && p <= 47, p == 49, p >= 100 && p <= 107:
		default:
			return 0, colour, false
		}
	}
	return len(text) - len(body) + end + 1, colour, true
}

// basic is one of the eight colours as an index in theme.Hues: black and white are none.
func basic(n int) int {
	if n < 1 || n > 6 {
		return noColour
	}
	return n - 1
}

// extended reads what follows 38 or 48: a colour of 256, or red, green and blue. used is 0 where it is neither.
func extended(params []string) (colour, used int) {
	number := func(i int) int {
		n, err := strconv.Atoi(params[i])
		if err != nil || n < 0 || n > 255 {
			return -1
		}
		return n
	}
	switch {
	case len(params) >= 2 && params[0] == "5":
		n := number(1)
		switch {
		case n < 0:
			return noColour, 0
		case n < 16:
			return basic(n % 8), 2
		case n >= 232: // grey
			return noColour, 2
		}
		n -= 16
		return nearest(n/36*51, n/6%6*51, n%6*51), 2
	case len(params) >= 4 && params[0] == "2":
		r, g, b := number(1), number(2), number(3)
		if min(r, g, b) < 0 {
			return noColour, 0
		}
		return nearest(r, g, b), 4
	}
	return noColour, 0
}

// nearest is the one of the six colours that is most like a mixture; greys are none.
func nearest(r, g, b int) int {
	most, least := max(r, g, b), min(r, g, b)
	if most-least < 48 {
		return noColour
	}
	half := (most + least) / 2
	n := 0
	for i, part := range []int{r, g, b} {
		if part > half {
			n |= 1 << i
		}
	}
	return basic(n)
}

// moved are the colours of a text at their places in what is shown of it.
func moved(text string, hues []hue) []hue {
	out := make([]hue, len(hues))
	from, shown := 0, 0
	for i, h := range hues {
		shown += len(draw.Clean(text[from:h.from]))
		from = h.from
		out[i] = hue{shown, h.colour}
	}
	return out
}

// coloured is text of one colour.
type coloured struct {
	text   string
	colour int
}

// inColours cuts text, which begins at a place, where its colour changes.
func inColours(text string, from int, hues []hue) []coloured {
	if len(hues) == 0 {
		return []coloured{{text, noColour}}
	}
	var out []coloured
	colour := noColour
	for _, h := range hues {
		if at := h.from - from; at > 0 && at <= len(text) {
			out = append(out, coloured{text[:at], colour})
			text, from = text[at:], h.from
		} else if at > len(text) {
			break
		}
		colour = h.colour
	}
	return append(out, coloured{text, colour})
}
