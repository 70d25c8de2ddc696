package draw

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// Width is the number of columns text takes.
func Width(text string) int {
	if plain(text) {
		return len(text)
	}
	return ansi.StringWidth(text)
}

// plain reports whether each byte of text is one column.
func plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < 0x20 || c >= 0x7f {
			return false
		}
	}
	return true
}

// Fit cuts text to w columns, with an ellipsis where something is missing.
func Fit(text string, w int) string {
	switch {
	case w <= 0:
		return ""
	case plain(text):
		if len(text) <= w {
			return text
		}
		return text[:w-1] + "…"
	}
	return ansi.Truncate(text, w, "…")
}

// Clean makes text from elsewhere safe to write to a terminal: what would
// steer it is shown instead of carried out, a tab becomes blanks.
func Clean(text string) string {
	if plain(text) {
		return text
	}
	if utf8.ValidString(text) && strings.IndexFunc(text, Steers) < 0 {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				fmt.Fprintf(&b, `\x%02x`, text[i])
				continue
			}
			b.WriteRune(r)
		case r == '\t':
			b.WriteString("    ")
		case r < 0x20:
			b.WriteByte('^')
			b.WriteByte(byte(r) + '@')
		case r == 0x7f:
			b.WriteString("^?")
		case Steers(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Steers reports whether a terminal would act on a rune, or show others in
// another order because of it.
func Steers(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029, r == 0xfeff:
		return true
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f:
		return true
	}
	return unicode.Is(unicode.Co, r)
}

// Wrap breaks plain text into lines of at most w columns, at blanks where it
// can. Names and paths are not broken at their hyphens.
func Wrap(text string, w int) []string {
	switch {
	case w <= 0:
		return nil
	case Width(text) <= w && !strings.Contains(text, "\n"):
		return []string{text}
	}
	const hyphen = "\u2011" // that doesn't break
	lines := strings.Split(ansi.Wrap(strings.ReplaceAll(text, "-", hyphen), w, ""), "\n")
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], hyphen, "-")
	}
	return lines
}

// Overlay puts a box over lines of a screen, its corner at a column and a line.
func Overlay(screen string, box []string, col, line int) string {
	lines := strings.Split(screen, "\n")
	for i, over := range box {
		n := line + i
		if n < 0 || n >= len(lines) {
			continue
		}
		under, w := lines[n], ansi.StringWidth(over)
		left := ansi.Truncate(under, col, "")
		if pad := col - ansi.StringWidth(left); pad > 0 {
			left += strings.Repeat(" ", pad)
		}
		right := ""
		if ansi.StringWidth(under) > col+w {
			right = ansi.TruncateLeft(under, col+w, "")
		}
		lines[n] = left + reset + over + reset + right
	}
	return strings.Join(lines, "\n")
}
