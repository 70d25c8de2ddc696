package logs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"fleettop/journal"
	"fleettop/tui/screens"
	"fleettop/units/atomicfile"
	"fleettop/units/safefile"
)

// Saver returns a function that writes what is shown now to a file, with the
// messages as they were logged; unless they are to be raw, what would steer a
// terminal is made visible. The function may block, and is for any goroutine.
func (s *Screen) Saver(env *screens.Env, raw bool) func(path string, over bool) (int, error) {
	shown, called := s.page.shown, env.Snap.Called
	return func(path string, over bool) (int, error) {
		return len(shown), writeFile(path, over, func(w *bufio.Writer) {
			for _, e := range shown {
				w.WriteString(e.Time.Format(time.RFC3339Nano) + " ")
				text := e.Message
				if e.Kind != "" {
					text = e.Text
				} else {
					w.WriteString(called(e.Machine) + " " + e.Unit + " " + journal.PriorityName(e.Priority) + ": ")
				}
				if !raw {
					text = harmless(text)
				}
				w.WriteString(text)
				w.WriteByte('\n')
			}
		})
	}
}

// writeFile writes a new file, or over a regular one; the error wraps
// fs.ErrExist where there is one and it isn't to be written over.
func writeFile(path string, over bool, write func(*bufio.Writer)) (err error) {
	if !over {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		return errors.Join(fill(f, write), f.Close())
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return err
	}
	old, err := safefile.Open(path) // which refuses FIFOs and devices
	if err != nil {
		return err
	}
	info, err := old.Stat()
	old.Close()
	if err != nil {
		return err
	}
	var content bytes.Buffer
	if err := fill(&content, write); err != nil {
		return err
	}
	return atomicfile.Write(path, content.Bytes(), info.Mode().Perm())
}

func fill(f io.Writer, write func(*bufio.Writer)) error {
	w := bufio.NewWriter(f)
	write(w)
	return w.Flush()
}

// harmless is a message as it was logged, but for what would steer the terminal
// that the file is shown on.
func harmless(text string) string {
	if strings.IndexFunc(text, func(r rune) bool {
		return r < 0x20 && r != '\t' && r != '\n' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError
	}) < 0 {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		c := text[i]
		switch {
		case r == utf8.RuneError && c >= 0x80 && c < 0xa0, r == 0x7f: // one byte alone may begin a sequence, too
			fmt.Fprintf(&b, `\x%02x`, c)
		case r == utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				b.WriteByte(c)
				continue
			}
			b.WriteRune(r)
		case r < 0x20 && r != '\t' && r != '\n':
			b.WriteByte('^')
			b.WriteByte(byte(r) + '@')
		case r >= 0x80 && r < 0xa0:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
