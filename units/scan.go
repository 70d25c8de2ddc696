package units

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-systemd/v22/unit"
)

// heading is a section's line in a file.
type heading struct {
	name string
	line int
}

// layout is the position of a file's sections and options.
type layout struct {
	sections []heading
	options  []int // the line each option starts on
	comments []int // lines of comments within a continued value that don't end in a backslash
}

// parsable returns the content without comments that end a continued value in
// go-systemd's parser but not in systemd.
func (l *layout) parsable(content string) string {
	if len(l.comments) == 0 {
		return content
	}
	lines := strings.SplitAfter(content, "\n")
	for _, n := range l.comments {
		lines[n-1] = ""
	}
	return strings.Join(lines, "")
}

// scan finds the lines of a file's sections and options. It refuses a file that
// isn't a unit file, that go-systemd's parser can't read, or that it would read
// differently from systemd.
func scan(content string) (*layout, error) {
	if err := checkText(content); err != nil {
		return nil, err
	}
	s := scanner{layout: &layout{}}
	text := strings.TrimPrefix(content, "\ufeff")
	for text != "" {
		line, rest, ended := strings.Cut(text, "\n")
		s.line++
		if err := s.next(line); err != nil {
			return nil, err
		}
		if s.state == inValue && !ended {
			return nil, fileErrorf(s.line, "the file ends in a backslash with nothing to continue: "+
				"complete the line, or remove the backslash")
		}
		text = rest
	}
	if len(s.sections) == 0 {
		return nil, fileErrorf(0, "the file has no section: "+
			"a unit file has settings below headings such as [Unit] and [Service]")
	}
	return s.layout, nil
}

// checkText refuses files that are empty, too large or not text.
func checkText(content string) error {
	switch {
	case len(content) > MaxFileSize:
		return fileErrorf(0, "the file is %d bytes long, the limit is %d (%d KiB): "+
			"keep data out of unit files", len(content), MaxFileSize, MaxFileSize>>10)
	case strings.TrimSpace(content) == "":
		return fileErrorf(0, "the file is empty: write at least a section with a setting, such as [Service] with ExecStart=")
	}
	if i := strings.IndexByte(content, 0); i >= 0 {
		return fileErrorf(lineAt(content, i), "there is a NUL byte: this is a binary file, submit a unit file instead")
	}
	if !utf8.ValidString(content) {
		i := 0
		for i < len(content) {
			r, size := utf8.DecodeRuneInString(content[i:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			i += size
		}
		return fileErrorf(lineAt(content, i), "byte %#x is not UTF-8: save the file as UTF-8 text", content[i])
	}
	return nil
}

// lineAt returns the line of a byte of a text, counted from 1.
func lineAt(text string, i int) int { return 1 + strings.Count(text[:i], "\n") }

// What the next line continues.
const (
	inNothing = iota // nothing: it is a setting, a heading or a comment
	inValue          // a value
	inComment        // a comment, in go-systemd's parser
)

// scanner reads a file line by line.
type scanner struct {
	*layout
	line  int
	state int
}

// next reads a line, without its line feed.
func (s *scanner) next(raw string) error {
	if len(raw)+1 > unit.SYSTEMD_LINE_MAX {
		return fileErrorf(s.line, "the line is %d bytes long, the limit is %d: "+
			"end it in a backslash and continue on the next line",
			len(raw), unit.SYSTEMD_LINE_MAX-1)
	}
	if i := strings.IndexByte(raw, '\r'); i >= 0 && i < len(raw)-1 {
		return fileErrorf(s.line, "there is a carriage return in the middle of the line: remove it")
	}
	text := strings.TrimLeftFunc(raw, unicode.IsSpace)
	note := isComment(text)
	if err := s.checkBlanks(raw, note); err != nil {
		return err
	}

	switch s.state {
	case inComment:
		if text != "" && !note {
			return fileErrorf(s.line, "the comment above ends in a backslash, so that it can be read as part of this "+
				"comment or as a line of its own: remove that backslash")
		}
		s.comment(raw)
		return nil
	case inValue:
		if text == "" {
			s.state = inNothing
			return nil
		}
		if note && !strings.HasSuffix(strings.TrimRightFunc(raw, unicode.IsSpace), `\`) {
			s.comments = append(s.comments, s.line)
			return nil
		}
		return s.value(raw)
	}

	switch {
	case text == "":
		return nil
	case note:
		s.comment(raw)
		return nil
	case text[0] == '[':
		return s.heading(text)
	default:
		return s.option(raw, text)
	}
}

func (s *scanner) comment(raw string) {
	s.state = inNothing
	if strings.HasSuffix(strings.TrimSuffix(raw, " "), `\`) {
		s.state = inComment
	}
}

func (s *scanner) heading(text string) error {
	name, rest, ok := strings.Cut(text[1:], "]")
	switch {
	case !ok:
		return fileErrorf(s.line, "%q has no closing bracket: write it as [Section]", strings.TrimSpace(text))
	case strings.TrimSpace(rest) != "":
		return fileErrorf(s.line, "there is %q after [%s]: move it to a line of its own", strings.TrimSpace(rest), name)
	case name == "":
		return fileErrorf(s.line, "the section has no name: write it between the brackets, as in [Service]")
	}
	s.sections = append(s.sections, heading{name, s.line})
	return nil
}

func (s *scanner) option(raw, text string) error {
	name, value, ok := strings.Cut(text, "=")
	if ok {
		for _, part := range []string{name, value} {
			if err := s.checkBlanks(part, false); err != nil {
				return err
			}
		}
	}
	name = strings.TrimSpace(name)
	switch {
	case len(s.sections) == 0:
		return fileErrorf(s.line, "%q stands before any section: "+
			"put a heading such as [Unit] or [Service] above it", cut(strings.TrimSpace(text), 60))
	case !ok:
		return fileErrorf(s.line, "%q is neither a setting nor a section nor a comment: "+
			"write Name=value", cut(strings.TrimSpace(text), 60))
	case name == "":
		return fileErrorf(s.line, "there is no name before the =: write Name=value")
	}
	s.options = append(s.options, s.line)
	return s.value(raw)
}

// value reads the end of a value's line, which decides whether the next line continues it.
func (s *scanner) value(raw string) error {
	s.state = inNothing
	end := strings.TrimRightFunc(raw, unicode.IsSpace)
	if !strings.HasSuffix(end, `\`) {
		return nil
	}
	slashes := len(end) - len(strings.TrimRight(end, `\`))
	switch {
	case len(end) < len(raw) && strings.TrimSuffix(raw, "\r") == end:
		return fileErrorf(s.line, "a backslash before a Windows line end doesn't continue the line: "+
			"save the file with plain line feeds")
	case len(end) < len(raw):
		return fileErrorf(s.line, "there are blanks after the backslash, so it doesn't continue the line: remove them")
	case slashes%2 == 0:
		return fileErrorf(s.line, "the line ends in %d backslashes, which fleet takes for a continued line and "+
			"systemd doesn't: put something after them", slashes)
	}
	s.state = inValue
	return nil
}
