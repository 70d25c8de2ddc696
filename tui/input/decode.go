// Package input turns the bytes a terminal sends into keys, pastes and mouse
// events. What a terminal answers to a query, the console's or another
// program's, is swallowed: it is never a key.
package input

import (
	"bytes"
	"time"
	"unicode/utf8"

	tea "github.com/charmbracelet/bubbletea"
)

const (
	escPatience  = 100 * time.Millisecond // for what follows an escape character; then it is the key
	slowPatience = 5500 * time.Millisecond
	typedGap     = 250 * time.Millisecond // a byte that comes alone and later than that was typed by a person
	pasteMost    = 1 << 20
)

const (
	esc        = 0x1b
	pasteBegin = "\x1b[200~"
	pasteEnd   = "\x1b[201~"
)

// Decoder splits input into messages. The zero value is ready; time is an
// argument. It belongs to one goroutine.
type Decoder struct {
	// Mouse says that the terminal was asked for mouse events.
	Mouse bool

	buf     []byte    // of something that isn't whole yet
	inText  bool      // inside a string that a terminal answers with; buf is its tail
	pasting bool      // buf is the paste so far
	since   time.Time // the last byte that a machine sent
	until   time.Time // buf is waited for
	escaped time.Time // the last escape character that was taken for a key
	opened  time.Time // the terminal was taken then: another program's answers may still come
}

// Opened tells the decoder that the terminal was taken over from another program.
func (d *Decoder) Opened(now time.Time) { d.opened = now }

// Deadline is when Expire is to be called; ok is false for never.
func (d *Decoder) Deadline() (at time.Time, ok bool) { return d.until, !d.until.IsZero() }

// Expire gives up waiting for the rest of what isn't whole.
func (d *Decoder) Expire(now time.Time) []tea.Msg {
	if d.until.IsZero() || now.Before(d.until) {
		return nil
	}
	buf := d.buf
	text, pasting := d.inText, d.pasting
	d.buf, d.inText, d.pasting, d.until = nil, false, false, time.Time{}
	switch {
	case pasting:
		return paste(buf)
	case text, len(buf) == 0:
		return nil
	case len(buf) == 1 && buf[0] == esc:
		d.escaped = now
		return []tea.Msg{tea.KeyMsg{Type: tea.KeyEsc}}
	case len(buf) == 2 && buf[0] == esc && buf[1] != '[': // a person held alt, or typed fast
		return []tea.Msg{tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{rune(buf[1])}, Alt: true}}
	}
	return nil // the beginning of a sequence that never ended
}

// Feed takes what was read at once, and returns what it is.
func (d *Decoder) Feed(chunk []byte, now time.Time) []tea.Msg {
	msgs := d.Expire(now)
	if len(chunk) == 0 {
		return msgs
	}
	machine := len(chunk) > 1 || now.Sub(d.since) < typedGap
	idle := len(d.buf) == 0 && !d.inText && !d.pasting
	d.since = now
	if idle && d.isTail(chunk, now) {
		return msgs
	}
	if idle && len(chunk) > 1 && now.Sub(d.escaped) < slowPatience && d.continues(chunk) {
		chunk = append([]byte{esc}, chunk...)
	}
	b := append(d.buf, chunk...)
	wait := d.until
	d.buf, d.until = nil, time.Time{}
	for len(b) > 0 {
		if d.pasting {
			b, msgs = d.paste(b, msgs)
			if d.pasting {
				d.buf, d.until = b, now.Add(slowPatience)
				return msgs
			}
			continue
		}
		if d.inText {
			var whole bool
			if b, whole = d.swallow(b); !whole {
				d.buf = b
				if d.until = wait; machine || wait.IsZero() { // a person's keys don't prolong it
					d.until = now.Add(slowPatience)
				}
				return msgs
			}
			continue
		}
		n, msg := d.next(b, machine)
		if n == 0 {
			d.buf, d.until = b, now.Add(patience(b))
			return msgs
		}
		if msg != nil {
			msgs = append(msgs, msg)
		}
		b = b[n:]
	}
	return msgs
}

func patience(b []byte) time.Duration {
	if len(b) == 1 && b[0] == esc {
		return escPatience
	}
	return slowPatience
}

// next reads the first thing of b; n is 0 if b ends in the middle of it. msg is
// nil for what isn't for the console.
func (d *Decoder) next(b []byte, machine bool) (n int, msg tea.Msg) {
	if b[0] != esc {
		return plain(b)
	}
	if len(b) == 1 {
		return 0, nil
	}
	switch b[1] {
	case esc:
		return 1, tea.KeyMsg{Type: tea.KeyEsc}
	case '[':
		return d.control(b)
	case 'O':
		if len(b) == 2 {
			return 0, nil
		}
		if k, ok := single[b[2]]; ok {
			return 3, tea.KeyMsg{Type: k}
		}
	case '\\':
		return 2, nil // the end of a string whose beginning another program read
	case ']', 'P', '_', '^', 'X':
		if len(b) == 2 {
			return 0, nil
		}
		if opens(b[1], b[2]) && machine {
			d.inText = true
			return 2, nil
		}
	}
	n, msg = plain(b[1:2])
	if b[1] >= utf8.RuneSelf {
		if !utf8.FullRune(b[1:]) {
			return 0, nil
		}
		n, msg = plain(b[1:])
	}
	if k, ok := msg.(tea.KeyMsg); ok {
		if len(k.Runes) > 1 {
			k.Runes = k.Runes[:1]
			n = utf8.RuneLen(k.Runes[0])
		}
		k.Alt = true
		msg = k
	}
	return 1 + n, msg
}

// opens reports whether a string that an answer is made of begins with these
// bytes after the escape character: OSC, DCS, APC, PM or SOS.
func opens(kind, next byte) bool {
	switch kind {
	case ']':
		return next >= '0' && next <= '9' || next == 'l' || next == 'L' || next == 'I'
	case 'P':
		return next >= 0x20 && next <= 0x3f
	}
	return next >= 0x20 && next < 0x7f
}

// swallow skips an answer's string up to its end; what it returns is to be
// looked at again with what comes.
func (d *Decoder) swallow(b []byte) (rest []byte, whole bool) {
	for i, c := range b {
		switch c {
		case '\a':
			d.inText = false
			return b[i+1:], true
		case 0x18, 0x1a:
			d.inText = false
			return b[i+1:], true
		case 0x03: // no answer has it: a person wants to get out
			d.inText = false
			return b[i:], true
		case esc:
			if i+1 == len(b) {
				return b[i:], false
			}
			d.inText = false
			if b[i+1] == '\\' {
				return b[i+2:], true
			}
			return b[i:], true
		}
	}
	return nil, false
}

// control takes a control sequence: a key, the mouse, a paste, or an answer.
func (d *Decoder) control(b []byte) (n int, msg tea.Msg) {
	i := 2
	for i < len(b) && b[i] >= 0x30 && b[i] <= 0x3f {
		i++
	}
	params := b[2:i]
	for i < len(b) && b[i] >= 0x20 && b[i] <= 0x2f {
		i++
	}
	if i == len(b) {
		return 0, nil
	}
	final := b[i]
	switch {
	case final < 0x20 || final >= 0x7f:
		return i, nil // broken off: what broke it off counts
	case final == '[' && i == 2: // function keys of the Linux console
		if len(b) < 4 {
			return 0, nil
		}
		if b[3] >= 'A' && b[3] <= 'E' {
			return 4, tea.KeyMsg{Type: functions[b[3]-'A']}
		}
		return 4, nil
	case final == 'M' && i == 2 && d.Mouse:
		if len(b) < 6 {
			return 0, nil
		}
		return 6, mouse(int(b[3])-32, int(b[4])-33, int(b[5])-33, true)
	case final == '~' && string(params) == "200":
		d.pasting = true
		return i + 1, nil
	case (final == 'M' || final == 'm') && len(params) > 0 && params[0] == '<':
		if list := numbers(params[1:]); len(list) == 3 && d.Mouse {
			return i + 1, mouse(list[0], list[1]-1, list[2]-1, final == 'M')
		}
		return i + 1, nil
	case i > 2+len(params) && final != '~' || len(params) > 0 && params[0] > ';':
		return i + 1, nil // private or with intermediate bytes: an answer
	}
	if k, ok := keyOf(final, params); ok {
		return i + 1, k
	}
	return i + 1, nil
}

// paste collects pasted text up to its end.
func (d *Decoder) paste(b []byte, msgs []tea.Msg) ([]byte, []tea.Msg) {
	text, rest, done := bytes.Cut(b, []byte(pasteEnd))
	if !done {
		return b[:min(len(b), pasteMost)], msgs
	}
	d.pasting = false
	return rest, append(msgs, paste(text)...)
}

func paste(text []byte) []tea.Msg {
	return []tea.Msg{tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(string(bytes.ToValidUTF8(text, nil))), Paste: true}}
}

// plain takes what isn't an escape sequence: a control character, a blank, or
// letters that came at once.
func plain(b []byte) (n int, msg tea.Msg) {
	switch c := b[0]; {
	case c == ' ':
		return 1, tea.KeyMsg{Type: tea.KeySpace, Runes: []rune{' '}}
	case c < 0x20 || c == 0x7f:
		return 1, tea.KeyMsg{Type: tea.KeyType(c)}
	}
	var runes []rune
	for n < len(b) && b[n] > ' ' && b[n] != 0x7f {
		r, size := utf8.DecodeRune(b[n:])
		if r == utf8.RuneError && size <= 1 {
			if len(runes) > 0 {
				break
			}
			if !utf8.FullRune(b[n:]) {
				return 0, nil
			}
			return 1, nil // no character
		}
		runes = append(runes, r)
		n += size
	}
	return n, tea.KeyMsg{Type: tea.KeyRunes, Runes: runes}
}
