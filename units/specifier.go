package units

import (
	"fmt"
	"slices"
	"strings"
)

// Specifier is one that is replaced in values of [X-Fleet].
type Specifier struct {
	Letter byte   // what follows the percent sign
	Doc    string // what it is replaced by, as a sentence
	value  func(Name) string
}

// Specifiers returns all that are replaced in values of [X-Fleet].
func Specifiers() []Specifier { return slices.Clone(specifiers) }

var specifiers = []Specifier{
	{'n', "The unit's name.", Name.String},
	{'N', "The unit's name without its type.", Name.Base},
	{'p', "The prefix: the template's name before the @, or the name without its type.", Name.Prefix},
	{'i', "The instance: what is between the @ and the type.", Name.Instance},
	{'%', "A percent sign.", func(Name) string { return "%" }},
}

// expand replaces the specifiers fleet knows in a value of [X-Fleet]: %n %N %p
// %i, and %% for a percent sign. A percent sign that isn't followed by a
// letter stands for itself; any other letter is refused, since a systemd
// specifier left as it is would never match anything.
func expand(value string, n Name) (string, error) {
	i := strings.IndexByte(value, '%')
	if i < 0 {
		return value, nil
	}
	var b strings.Builder
	for i >= 0 {
		b.WriteString(value[:i])
		value = value[i+1:]
		var c byte
		if value != "" {
			c = value[0]
		}
		known := slices.IndexFunc(specifiers, func(s Specifier) bool { return s.Letter == c })
		switch {
		case known >= 0:
			b.WriteString(specifiers[known].value(n))
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			return "", fmt.Errorf("the specifier %%%c is not known in [X-Fleet]: "+
				"use %%n, %%N, %%p or %%i, and %%%% for a percent sign", c)
		default:
			b.WriteByte('%')
			i = strings.IndexByte(value, '%')
			continue
		}
		value = value[1:]
		i = strings.IndexByte(value, '%')
	}
	b.WriteString(value)
	return b.String(), nil
}

// standIn returns the name to expand a file's specifiers with. A template's
// instances aren't known yet, so %i stands for itself.
func standIn(n Name) Name {
	if !n.IsTemplate() {
		return n
	}
	return Name{full: n.full[:n.dot] + "%i" + n.full[n.dot:], at: n.at, dot: n.dot + len("%i")}
}

// specifierLetters are the specifiers of all versions of systemd. systemd refuses
// other letters and digits after a percent sign, and keeps other characters.
const specifierLetters = "aAbBcCdDEfgGhHiIjJlLmMnNopPqrRsStTuUvVwWyY"

// UnknownSpecifier returns the first character after a percent sign that is a
// letter or a digit and no specifier of systemd, or 0.
func UnknownSpecifier(value string) byte {
	for {
		i := strings.IndexByte(value, '%')
		if i < 0 || i+1 == len(value) {
			return 0
		}
		c := value[i+1]
		if isAlphanumeric(c) && strings.IndexByte(specifierLetters, c) < 0 {
			return c
		}
		value = value[i+1:]
		if c == '%' {
			value = value[1:]
		}
	}
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// forPeople are the options that change nothing when systemd ignores them.
var forPeople = []string{"Description", "Documentation", "SourcePath"}

// checkSpecifiers refuses specifiers that systemd doesn't know: it would not
// load the unit, or ignore the setting.
func (f *File) checkSpecifiers() error {
	quotes := strings.NewReplacer(`"`, "", `'`, "")
	for _, o := range f.options {
		if strings.HasPrefix(o.Section, "X-") || strings.HasPrefix(o.Name, "X-") || slices.Contains(forPeople, o.Name) {
			continue
		}
		value := o.Value
		if strings.HasPrefix(o.Name, "Exec") { // systemd removes the quotes first: %"F" is %F
			value = quotes.Replace(value)
		}
		if c := UnknownSpecifier(value); c != 0 {
			return fileErrorf(o.Line, "%s=%s: %%%c is no specifier of systemd, which refuses it: "+
				"write %%%%%c for the characters themselves", o.Name, cut(o.Value, 80), c, c)
		}
	}
	return nil
}
