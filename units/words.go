package units

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxWords limits a command line, so that parsing a hostile file costs no more than its size.
const maxWords = 16 << 10

// SplitWords splits a value into words as systemd does: at blanks outside of
// single and double quotes. It resolves C escapes and keeps unknown ones. The
// error says what is wrong with the value.
func SplitWords(s string) ([]string, error) {
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

// SplitCommands splits a line into commands at single semicolons, and each
// command into words. The errors are those of SplitWords.
func SplitCommands(s string) ([][]string, error) {
	var list [][]string
	var words []string
	for n := 0; ; n++ {
		s = strings.TrimLeft(s, space)
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

// space is what separates words.
const space = " \t\n\r"

func cutBlank(s string) (first, rest string) {
	if i := strings.IndexAny(s, space); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// nextWord returns the first word of s and the rest; ok is false if there is no word.
func nextWord(s string) (word, rest string, ok bool, err error) {
	s = strings.TrimLeft(s, space)
	if s == "" {
		return "", "", false, nil
	}
	var b strings.Builder
	var quote byte
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\\':
			out, n := unescape(s[i:])
			b.WriteString(out)
			i += n
			continue
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			b.WriteByte(c)
		case c == '"' || c == '\'':
			quote = c
		case strings.IndexByte(space, c) >= 0:
			return b.String(), s[i:], true, nil
		default:
			b.WriteByte(c)
		}
		i++
	}
	if quote != 0 {
		return "", "", false, fmt.Errorf("a quote (%c) is not closed: close it, or write \\%c for the character itself",
			quote, quote)
	}
	return b.String(), "", true, nil
}

// simpleEscapes are the escapes of one letter. \s is systemd's own.
var simpleEscapes = map[byte]byte{
	'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v',
	'\\': '\\', '"': '"', '\'': '\'', 's': ' ',
}

// unescape resolves the escape at the beginning of s and returns its length.
func unescape(s string) (out string, n int) {
	if len(s) == 1 {
		return s, 1
	}
	if c, ok := simpleEscapes[s[1]]; ok {
		return string([]byte{c}), 2
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
		return s[:2], 2
	}
	if len(s) < from+digits {
		return s[:2], 2
	}
	var v uint32
	for _, c := range []byte(s[from : from+digits]) {
		d, ok := digit(c)
		if !ok || d >= base {
			return s[:2], 2
		}
		v = v*base + d
	}
	whole := s[:from+digits]
	switch {
	case v == 0, isRune && (v > utf8.MaxRune || !utf8.ValidRune(rune(v))), !isRune && v > 0xff:
		return whole, len(whole) // not a character: kept as written
	case isRune:
		return string(rune(v)), len(whole)
	}
	return string([]byte{byte(v)}), len(whole)
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
