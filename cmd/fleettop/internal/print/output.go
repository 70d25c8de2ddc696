package print

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"unicode/utf8"

	"fleettop/tui/draw"
)

// Output is where a run of the command line prints. It remembers whether
// something could not be written, so that no verb ends well whose answer is
// lost, and on a terminal it makes printable what isn't.
type Output struct {
	w        io.Writer
	terminal bool
	paints   bool   // colours may pass
	rest     []byte // a character or a colour that isn't complete yet
	wrote    bool
	err      error // of the first write that failed
}

// NewOutput returns an Output on w. Paints says whether colours may pass to a terminal.
func NewOutput(w io.Writer, terminal, paints bool) *Output {
	return &Output{w: w, terminal: terminal, paints: paints}
}

// Raw returns the writer below an Output, for what speaks to the terminal itself or to a program.
func Raw(w io.Writer) io.Writer {
	if o, ok := w.(*Output); ok {
		return o.w
	}
	return w
}

// Terminal reports whether a terminal shows what is written.
func (o *Output) Terminal() bool { return o.terminal }

// Wrote reports whether anything was written.
func (o *Output) Wrote() bool { return o.wrote }

// Err returns the error of the first write that failed.
func (o *Output) Err() error { return o.err }

// Write implements io.Writer.
func (o *Output) Write(b []byte) (int, error) {
	o.wrote = o.wrote || len(b) > 0
	send := b
	if o.terminal && (len(o.rest) > 0 || !plainText(b)) {
		send, o.rest = appendPrintable(nil, append(o.rest, b...), o.paints)
	}
	if _, err := o.w.Write(send); err != nil {
		o.err = cmp.Or(o.err, err) // the next may go well again, as a daemon's log does
		return 0, err
	}
	return len(b), nil
}

// Finish writes what a character that never became complete leaves behind.
func (o *Output) Finish() {
	if rest := o.rest; len(rest) > 0 && o.err == nil {
		o.rest = nil
		_, o.err = io.WriteString(o.w, Printable(string(rest)))
	}
}

// plainText reports whether each byte is an ASCII character that a terminal shows, or a line end.
func plainText[T ~string | ~[]byte](b T) bool {
	for i := range len(b) {
		if c := b[i]; (c < 0x20 && c != '\n') || c >= 0x7f {
			return false
		}
	}
	return true
}

// Printable makes readable what a terminal would act on, and bytes that are no
// UTF-8. Tabs and line ends stay.
func Printable(text string) string {
	if plainText(text) {
		return text
	}
	out, rest := appendPrintable(nil, []byte(text), false)
	for _, c := range rest {
		out = fmt.Appendf(out, `\x%02x`, c)
	}
	return string(out)
}

// colour is a sequence that sets how text looks, and nothing else.
var colour = regexp.MustCompile(`^\x1b\[[0-9;:]*m`)

// mostColour is the length of the longest sequence that is waited for.
const mostColour = 64

// appendPrintable is Printable for text that comes in pieces: what isn't
// complete at its end is returned. Colours pass where they may.
func appendPrintable(out, text []byte, paints bool) (printed, rest []byte) {
	for len(text) > 0 {
		c := text[0]
		if c >= 0x20 && c < 0x7f || c == '\n' || c == '\t' {
			out, text = append(out, c), text[1:]
			continue
		}
		if c == '\x1b' && paints {
			if seq := colour.Find(text); seq != nil {
				out, text = append(out, seq...), text[len(seq):]
				continue
			}
			if partOfColour(text) {
				return out, text
			}
		}
		if !utf8.FullRune(text) {
			return out, text
		}
		r, n := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && n == 1:
			out = fmt.Appendf(out, `\x%02x`, c)
		case r == 0x7f:
			out = append(out, "^?"...)
		case r < 0x20:
			out = append(out, '^', byte(r)+'@')
		case draw.Steers(r):
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = append(out, text[:n]...)
		}
		text = text[n:]
	}
	return out, nil
}

// partOfColour reports whether text is the beginning of a colour, and no more.
func partOfColour(text []byte) bool {
	if len(text) > mostColour {
		return false
	}
	for i, c := range text {
		switch {
		case i == 0, i == 1 && c == '[', i > 1 && (c >= '0' && c <= '9' || c == ';' || c == ':'):
		default:
			return false
		}
	}
	return true
}
