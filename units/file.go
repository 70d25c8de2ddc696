package units

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"
)

// MaxFileSize is the size of the largest unit file that is accepted, in bytes.
const MaxFileSize = 256 << 10

// Option is one setting of a unit file.
type Option struct {
	Section string
	Name    string
	Value   string
	Line    int // where it starts, counted from 1
}

// FileError says what is wrong with a unit file, where, and what to do.
type FileError struct {
	Line int // counted from 1; 0 where the file as a whole is meant
	Msg  string
}

// Error implements error.
func (e *FileError) Error() string {
	if e.Line == 0 {
		return e.Msg
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Msg)
}

func fileErrorf(line int, format string, args ...any) *FileError {
	return &FileError{Line: line, Msg: fmt.Sprintf(format, args...)}
}

// File is a parsed unit file. It is immutable and may be shared.
type File struct {
	content  string
	options  []Option // as systemd reads them
	written  []Option // as they were written; nil if no value is continued
	sections []heading
	hash     string
}

// ParseFile parses a unit file with go-systemd's parser, as fleet does. It
// refuses a file that this parser and systemd would read differently, so that
// systemd runs the same options that are hashed. The error is a *FileError.
func ParseFile(content string) (*File, error) {
	layout, err := scan(content)
	if err != nil {
		return nil, err
	}
	raw, perr := unit.DeserializeOptions(strings.NewReader(layout.parsable(content)))
	if perr != nil {
		return nil, fileErrorf(0, "the file can't be parsed (%v): compare it with systemd.syntax(7)", perr)
	}
	if len(raw) != len(layout.options) {
		return nil, fileErrorf(0, "the file can be read in two ways, as %d settings or as %d: write one setting a line",
			len(raw), len(layout.options))
	}
	if len(raw) == 0 {
		return nil, fileErrorf(0, "the file has no settings: write some below [%s]", layout.sections[0].name)
	}

	f := &File{content: content, sections: layout.sections, options: make([]Option, len(raw))}
	continued := false
	for i, o := range raw {
		f.options[i] = Option{Section: o.Section, Name: o.Name, Value: o.Value, Line: layout.options[i]}
		continued = continued || strings.Contains(o.Value, "\n")
	}
	if continued {
		f.written = slices.Clone(f.options)
		for i := range f.options {
			f.options[i].Value = unfold(f.options[i].Value)
		}
	}
	h := sha1.New()
	if _, err := io.Copy(h, unit.Serialize(raw)); err != nil {
		return nil, fileErrorf(0, "hash the file: %v", err)
	}
	f.hash = hex.EncodeToString(h.Sum(nil))
	return f, nil
}

// FileFromOptions makes a file from options as they were written, the form in
// which fleet's API transports files. Its content is the serialized options:
// sections in the order of their first option, with an empty line between them.
// Line numbers refer to that content; those of opts are ignored. The error is a
// *FileError, also for options that can't be written to a file unchanged.
func FileFromOptions(opts []Option) (*File, error) {
	raw := make([]*unit.UnitOption, len(opts))
	for i, o := range opts {
		raw[i] = unit.NewUnitOption(o.Section, o.Name, o.Value)
	}
	if len(raw) == 0 {
		return nil, fileErrorf(0, "the unit has no options: give at least one")
	}
	text, err := io.ReadAll(unit.Serialize(raw))
	if err != nil {
		return nil, fileErrorf(0, "serialize the options: %v", err)
	}
	f, err := ParseFile(string(text))
	if err != nil {
		return nil, err
	}
	if i := differing(f.Written(), grouped(opts)); i >= 0 {
		o := grouped(opts)[min(i, len(opts)-1)]
		return nil, fileErrorf(0, "option [%s] %s has a value that would not be read back as it is: "+
			"take line ends and surrounding blanks out of it", o.Section, o.Name)
	}
	return f, nil
}

// grouped returns options in the order of serialization: section by section.
func grouped(opts []Option) []Option {
	order := map[string]int{}
	for _, o := range opts {
		if _, ok := order[o.Section]; !ok {
			order[o.Section] = len(order)
		}
	}
	sorted := slices.Clone(opts)
	slices.SortStableFunc(sorted, func(a, b Option) int { return order[a.Section] - order[b.Section] })
	return sorted
}

// differing returns the index of the first option that differs, lines aside, or -1.
func differing(a, b []Option) int {
	for i := range min(len(a), len(b)) {
		x, y := a[i], b[i]
		if x.Section != y.Section || x.Name != y.Name || x.Value != y.Value {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}

// Content returns the file exactly as it was submitted.
func (f *File) Content() string { return f.content }

// Options returns the file's settings, in order, as systemd reads them:
// continued lines are joined, and comments between them left out. The caller
// may modify the slice.
func (f *File) Options() []Option { return slices.Clone(f.options) }

// Written is like Options, but returns the values as they were written: values
// of several lines contain the backslashes and line feeds. The hash is computed
// from them, and fleet's API transports them.
func (f *File) Written() []Option {
	if f.written != nil {
		return slices.Clone(f.written)
	}
	return f.Options()
}

// Hash returns the SHA-1 of the serialized options in 40 hexadecimal digits,
// as fleet computes it. Comments and empty lines don't change it.
func (f *File) Hash() string { return f.hash }

// Description returns the first Description= of the [Unit] section, or "".
func (f *File) Description() string {
	for _, o := range f.options {
		if o.Section == "Unit" && o.Name == "Description" {
			return o.Value
		}
	}
	return ""
}

// DescriptionOf returns the description of a unit with this file: Description
// with the specifiers %n %N %p %i expanded. A template's description, and one
// with other specifiers, is returned as written.
func (f *File) DescriptionOf(n Name) string {
	text := f.Description()
	if n.IsTemplate() {
		return text
	}
	if expanded, err := expand(text, n); err == nil {
		return expanded
	}
	return text
}

// line returns the line of the first heading of a section, or 0.
func (f *File) line(section string) int {
	for _, s := range f.sections {
		if s.name == section {
			return s.line
		}
	}
	return 0
}
