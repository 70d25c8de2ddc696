package input

import (
	"bytes"
	"regexp"
	"time"
)

// An answer may be cut in two by whatever reads the terminal: another program
// took its beginning, or a slow line brought the escape character long before
// the rest. What is left looks like keys, some of which act.

// headless is the end of a control sequence that answers something: with more
// than the one digit and letter that a person types fast to do two things.
var headless = regexp.MustCompile(`^\[?([?>=][0-9;]*[0-9]|[0-9;]+[0-9])[$ ]?[cnRtyu]$`)

// isTail reports whether a chunk is the rest of an answer whose beginning
// another program read, soon after the terminal was taken from that.
func (d *Decoder) isTail(chunk []byte, now time.Time) bool {
	if len(chunk) < 2 || d.opened.IsZero() || now.Sub(d.opened) > slowPatience || chunk[0] == esc {
		return false
	}
	text := bytes.TrimSuffix(bytes.TrimSuffix(chunk, []byte{esc, '\\'}), []byte{'\a'})
	if len(text) < len(chunk) {
		return bytes.IndexFunc(text, func(r rune) bool { return r < ' ' }) < 0
	}
	return headless.Match(chunk)
}

// continues reports whether a chunk goes on after an escape character that was
// taken for a key: a whole key or answer, or the beginning of an answer's string.
func (d *Decoder) continues(chunk []byte) bool {
	probe := Decoder{Mouse: d.Mouse}
	switch chunk[0] {
	case '[', 'O':
		n, _ := probe.next(append([]byte{esc}, chunk...), true)
		return n > 2 || n == 0
	case ']', 'P', '_', '^', 'X':
		return opens(chunk[0], chunk[1])
	}
	return false
}
