package process

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sort"
	"strings"

	"fleettop/units"
	"fleettop/units/safefile"
)

// defaultPath is where programs are looked for. systemd leaves out /sbin and
// /bin where they are links into /usr; here they are always in.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environmentFile is one EnvironmentFile= option.
type environmentFile struct {
	Path     string // may be a pattern
	Optional bool
}

// parseAssignments reads the value of Environment=.
func parseAssignments(value string, sp *specifiers) ([][2]string, error) {
	words, err := units.SplitWords(value)
	if err != nil {
		return nil, err
	}
	var list [][2]string
	for _, w := range words {
		k, v, ok := strings.Cut(w, "=")
		if !ok || !isVariable(k) {
			return nil, fmt.Errorf("%q is not an assignment: write NAME=value, in quotes if the value has blanks", w)
		}
		if v, err = sp.expand(v); err != nil {
			return nil, err
		}
		list = append(list, [2]string{k, v})
	}
	return list, nil
}

// readEnvironmentFiles adds the variables of files, in their order.
func readEnvironmentFiles(files []environmentFile, env map[string]string) error {
	left := int64(maxEnvironment)
	for _, f := range files {
		paths, err := filepath.Glob(f.Path)
		if err != nil {
			return fmt.Errorf("the pattern %s of EnvironmentFile=: %w: correct it", f.Path, err)
		}
		if len(paths) == 0 {
			paths = []string{f.Path}
		}
		for _, path := range paths {
			content, err := safefile.Read(path, left)
			switch {
			case err == nil:
				left -= int64(len(content))
				parseEnvironmentFile(string(content), env)
			case errors.Is(err, fs.ErrNotExist) && f.Optional:
			case errors.Is(err, safefile.ErrTooLarge):
				return fmt.Errorf("EnvironmentFile: %s: the variables of a unit may have %d KiB in all: shorten it",
					path, maxEnvironment>>10)
			case errors.Is(err, safefile.ErrNotRegular):
				return fmt.Errorf("EnvironmentFile: %s: %w: name a plain file", path, cause(err))
			default:
				return fmt.Errorf(`EnvironmentFile: %s: %w: create it, or write "-" before its path if it may be missing`,
					path, reason(cause(err)))
			}
		}
	}
	return nil
}

// cause is an error without the path it is about.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// parseEnvironmentFile reads NAME=value lines as systemd does: comments start
// with # or ; quotes of both kinds may span lines, a backslash at the end of
// a line continues it. Lines that make no sense are skipped, as systemd does.
func parseEnvironmentFile(s string, env map[string]string) {
	for s != "" {
		s = strings.TrimLeft(s, " \t\n\r")
		if s == "" {
			return
		}
		eol := strings.IndexByte(s, '\n')
		if eol < 0 {
			eol = len(s)
		}
		eq := strings.IndexByte(s[:eol], '=')
		if s[0] == '#' || s[0] == ';' || eq < 0 {
			s = s[eol:]
			continue
		}
		name := strings.TrimSpace(s[:eq])
		var value string
		value, s = environmentValue(s[eq+1:])
		if isVariable(name) {
			env[name] = value
		}
	}
}

// environmentValue reads a value up to the end of its line.
func environmentValue(s string) (value, rest string) {
	var b strings.Builder
	keep := 0 // length up to the last character that isn't a trailing blank
	i := len(s) - len(strings.TrimLeft(s, " \t"))
	var quote byte
	for ; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			if quote == '"' && !strings.ContainsRune("\"\\`$\n", rune(s[i])) {
				b.WriteByte('\\')
			}
			if s[i] != '\n' {
				b.WriteByte(s[i])
			}
			keep = b.Len()
		case quote != 0 && c == quote:
			quote, keep = 0, b.Len()
		case quote != 0:
			b.WriteByte(c)
			keep = b.Len()
		case c == '\n':
			return b.String()[:keep], s[i:]
		case c == '"' || c == '\'':
			quote = c
		default:
			b.WriteByte(c)
			if c != ' ' && c != '\t' && c != '\r' {
				keep = b.Len()
			}
		}
	}
	return b.String()[:keep], ""
}

// environList is an environment as exec wants it, in a stable order.
func environList(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	sort.Strings(list)
	return list
}
