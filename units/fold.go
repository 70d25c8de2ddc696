package units

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// blanks are the characters within a line that systemd treats as blanks.
const blanks = " \t\r"

// isComment reports whether a line without the blanks before it is a comment.
func isComment(text string) bool { return text != "" && (text[0] == '#' || text[0] == ';') }

// unfold returns a value as systemd reads it: continued lines are joined, the
// backslash at the end of each becomes a blank, and comments between them are
// left out.
func unfold(value string) string {
	first, rest, continued := strings.Cut(value, "\n")
	if !continued {
		return value
	}
	var b strings.Builder
	b.WriteString(joined(first))
	for line := range strings.SplitSeq(rest, "\n") {
		if !isComment(strings.TrimLeft(line, blanks)) {
			b.WriteString(joined(line))
		}
	}
	return strings.Trim(b.String(), blanks)
}

// joined returns a line as it is joined with the one that continues it.
func joined(line string) string {
	if l, ok := strings.CutSuffix(line, `\`); ok {
		return l + " "
	}
	return line
}

// checkBlanks refuses a line, or a part of one, that begins or ends in a
// character that fleet treats as a blank and systemd doesn't, such as a no-break
// space pasted from a web page. Comments may end in any character.
func (s *scanner) checkBlanks(part string, comment bool) error {
	where := "begins with"
	r := foreignBlank(part[:len(part)-len(strings.TrimLeftFunc(part, unicode.IsSpace))])
	if r == 0 && !comment {
		where = "ends in"
		end := strings.TrimRightFunc(part, unicode.IsSpace)
		r = foreignBlank(part[len(end):])
		if r == 0 && strings.HasSuffix(part, `\`) { // the text before the backslash is the end of a line, too
			r = foreignBlank(part[len(strings.TrimRightFunc(part[:len(part)-1], unicode.IsSpace)) : len(part)-1])
		}
	}
	if r == 0 {
		return nil
	}
	return fileErrorf(s.line, "%q %s %s, which is no blank to systemd: type a space in its place, or remove it",
		cut(strings.TrimSpace(part), 60), where, blankName(r))
}

// foreignBlank returns the first blank that systemd doesn't treat as one, or 0.
func foreignBlank(run string) rune {
	i := strings.IndexFunc(run, func(r rune) bool { return !strings.ContainsRune(blanks, r) })
	if i < 0 {
		return 0
	}
	r, _ := utf8.DecodeRuneInString(run[i:])
	return r
}

func blankName(r rune) string {
	switch r {
	case '\u00a0', '\u202f':
		return fmt.Sprintf("a no-break space (%U)", r)
	case '\v', '\f':
		return fmt.Sprintf("a control character (%U)", r)
	}
	return fmt.Sprintf("the character %U", r)
}
