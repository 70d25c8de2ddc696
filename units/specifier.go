package units

import (
	"fmt"
	"strings"
)

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
		switch {
		case c == '%':
			b.WriteByte('%')
		case c == 'n':
			b.WriteString(n.String())
		case c == 'N':
			b.WriteString(n.Base())
		case c == 'p':
			b.WriteString(n.Prefix())
		case c == 'i':
			b.WriteString(n.Instance())
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			return "", fmt.Errorf("the specifier %%%c is not known in [X-Fleet]: use %%n, %%N, %%p or %%i, and %%%% for a percent sign", c)
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
// instances aren't known yet, so the instance's place is held by %i itself.
func standIn(n Name) Name {
	if !n.IsTemplate() {
		return n
	}
	return Name{full: n.full[:n.dot] + "%i" + n.full[n.dot:], at: n.at, dot: n.dot + len("%i")}
}
