package sshd

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxLine  = 16 << 10 // bytes of a command line
	maxWords = 1024
)

// shellsOwn are the characters that a shell would act upon. Without a shell
// they mean nothing, and are refused rather than misunderstood.
const shellsOwn = ";&|<>()`$"

// splitWords splits a command line into words as a shell does: at blanks, with
// '…', "…" and \ for what is to be taken as it is. Globs are left to the verbs.
func splitWords(line string) ([]string, error) {
	if len(line) > maxLine {
		return nil, fmt.Errorf("the command line is longer than %d KiB: use several", maxLine>>10)
	}
	if !utf8.ValidString(line) || strings.IndexFunc(line, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }) >= 0 {
		return nil, errors.New("the command line has control characters, or is not UTF-8: give one line of text")
	}
	var words []string
	var word strings.Builder
	begun := false // an empty '' is a word, too
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == ' ' || c == '\t':
			end()
		case c == '\'':
			n := strings.IndexByte(line[i+1:], '\'')
			if n < 0 {
				return nil, errors.New("a ' is not closed: quote the whole word")
			}
			begun = true
			word.WriteString(line[i+1 : i+1+n])
			i += n + 1
		case c == '"':
			text, n, err := doubleQuoted(line[i+1:])
			if err != nil {
				return nil, err
			}
			begun = true
			word.WriteString(text)
			i += n
		case c == '\\':
			i++
			if i == len(line) {
				return nil, errors.New("the command line ends in a \\: leave it out, or quote it")
			}
			begun = true
			word.WriteByte(line[i])
		case strings.IndexByte(shellsOwn, c) >= 0:
			return nil, fmt.Errorf("there is no shell here that knows what %c means: give one verb of fleettop's, and quote what is to be taken as it is", c)
		default:
			begun = true
			word.WriteByte(c)
		}
		if len(words) > maxWords {
			return nil, fmt.Errorf("the command line has more than %d words: use several", maxWords)
		}
	}
	end()
	return words, nil
}

// doubleQuoted is the text up to the next ", and how many bytes it took with that.
func doubleQuoted(rest string) (text string, n int, err error) {
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; c {
		case '"':
			return b.String(), i + 1, nil
		case '$', '`':
			return "", 0, fmt.Errorf("there is no shell here that knows what %c means in \"…\": use '…'", c)
		case '\\':
			if i+1 < len(rest) && strings.IndexByte("\"\\$`", rest[i+1]) >= 0 {
				i++
			}
			b.WriteByte(rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, errors.New("a \" is not closed: quote the whole word")
}
