package process

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxWords bounds a command line, so that a hostile unit file costs no more than its size.
const maxWords = 16 << 10

// splitWords splits a value into words as systemd does: blanks separate,
// quotes of both kinds protect them, and C escapes are resolved. An escape
// that C doesn't know stays as it is.
func splitWords(s string) ([]string, error) {
	var words []string
	for {
		word, rest, ok, err := nextWord(s)
		if err != nil || !ok {
			return words, err
		}
		if len(words) == maxWords {
			return nil, errors.New("too many words: shorten the line or move it to a script")
		}
		words, s = append(words, word), rest
	}
}

// splitCommands splits a command line at the lone semicolons in it.
func splitCommands(s string) ([][]string, error) {
	var list [][]string
	var words []string
	for n := 0; ; n++ {
		s = strings.TrimLeft(s, blanks)
		if n > maxWords {
			return nil, errors.New("too many words: shorten the line or move it to a script")
		}
		if first, rest := cutBlank(s); first == ";" {
			if len(words) > 0 {
				list, words = append(list, words), nil
			}
			s = rest
			continue
		} else if first == `\;` {
			words, s = append(words, ";"), rest
			continue
		}
		word, rest, ok, err := nextWord(s)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		words, s = append(words, word), rest
	}
	if len(words) > 0 {
		list = append(list, words)
	}
	return list, nil
}

const blanks = " \t\n\r"

func cutBlank(s string) (first, rest string) {
	if i := strings.IndexAny(s, blanks); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// nextWord takes the first word off s; ok is false where there is none.
func nextWord(s string) (word, rest string, ok bool, err error) {
	s = strings.TrimLeft(s, blanks)
	if s == "" {
		return "", "", false, nil
	}
	var b strings.Builder
	var quote byte
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\\':
			out, n, err := unescape(s[i:])
			if err != nil {
				return "", "", false, err
			}
			b.WriteString(out)
			i += n
			continue
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			b.WriteByte(c)
		case c == '"' || c == '\'':
			quote = c
		case strings.IndexByte(blanks, c) >= 0:
			return b.String(), s[i:], true, nil
		default:
			b.WriteByte(c)
		}
		i++
	}
	if quote != 0 {
		return "", "", false, fmt.Errorf("a quote (%c) is not closed: close it, or write \\%c for the character itself", quote, quote)
	}
	return b.String(), "", true, nil
}

// simpleEscapes are the escapes of one letter. \s is systemd's own.
var simpleEscapes = map[byte]byte{
	'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v',
	'\\': '\\', '"': '"', '\'': '\'', 's': ' ',
}

// unescape resolves the escape at the front of s and says how long it is.
func unescape(s string) (out string, n int, err error) {
	if len(s) == 1 {
		return "", 0, errors.New(`the line ends in a backslash: write \\ for the character itself`)
	}
	if c, ok := simpleEscapes[s[1]]; ok {
		return string([]byte{c}), 2, nil
	}
	digits, base, isRune := 0, uint32(16), false
	from := 2
	switch c := s[1]; {
	case c == 'x':
		digits = 2
	case c == 'u':
		digits, isRune = 4, true
	case c == 'U':
		digits, isRune = 8, true
	case c >= '0' && c <= '7':
		digits, base, from = 3, 8, 1
	default:
		return s[:2], 2, nil
	}
	if len(s) < from+digits {
		return s[:2], 2, nil
	}
	var v uint32
	for _, c := range []byte(s[from : from+digits]) {
		d, ok := digit(c)
		if !ok || d >= base {
			return s[:2], 2, nil
		}
		v = v*base + d
	}
	switch {
	case v == 0:
		return "", 0, errors.New("a null character can't be part of a command: remove the escape")
	case isRune && (v > utf8.MaxRune || !utf8.ValidRune(rune(v))), !isRune && v > 0xff:
		return "", 0, fmt.Errorf("%s is not a character: correct the escape", s[:from+digits])
	case isRune:
		return string(rune(v)), from + digits, nil
	}
	return string([]byte{byte(v)}), from + digits, nil
}

func digit(c byte) (uint32, bool) {
	switch {
	case c >= '0' && c <= '9':
		return uint32(c - '0'), true
	case c >= 'a' && c <= 'f':
		return uint32(c-'a') + 10, true
	case c >= 'A' && c <= 'F':
		return uint32(c-'A') + 10, true
	}
	return 0, false
}
