package process

import (
	"errors"
	"fmt"
	"strings"

	"fleettop/units"
)

// command is one program to run.
type command struct {
	Option  string   // ExecStart, ExecStop, ...
	Line    int      // where it stands in the unit file
	Program string   // absolute, or to be found in PATH
	Args    []string // from argv[0] on

	IgnoreFailure bool // "-": any exit is a success
	Verbatim      bool // ":": no variables are expanded
	Privileged    bool // "+": runs as the daemon's user whatever User= says
}

// parseCommands reads the value of an Exec option.
func parseCommands(option, value string, line int, sp *specifiers) ([]command, error) {
	split, err := units.SplitCommands(value)
	if err != nil {
		return nil, err
	}
	var list []command
	for _, words := range split {
		c, err := parseCommand(words, sp)
		if err != nil {
			return nil, err
		}
		c.Option, c.Line = option, line
		list = append(list, c)
	}
	return list, nil
}

func parseCommand(words []string, sp *specifiers) (command, error) {
	var c command
	program, ownName := words[0], false
prefixes:
	for program != "" {
		switch program[0] {
		case '-':
			c.IgnoreFailure = true
		case '@':
			ownName = true
		case ':':
			c.Verbatim = true
		case '+':
			c.Privileged = true
		case '!':
			return c, errors.New(`the prefix "!" needs systemd: use "+" to run the command as the daemon's user`)
		case '|':
			return c, errors.New(`the prefix "|" needs systemd: call the shell by its path`)
		default:
			break prefixes
		}
		program = program[1:]
	}
	args := make([]string, 0, len(words))
	for _, w := range append([]string{program}, words[1:]...) {
		w, err := sp.expand(w)
		if err != nil {
			return c, err
		}
		args = append(args, w)
	}
	c.Program, c.Args = args[0], args
	switch {
	case c.Program == "":
		return c, errors.New("no program is named: write its path after the prefixes")
	case strings.HasSuffix(c.Program, "/"):
		return c, fmt.Errorf("%s is a directory: name the program in it", c.Program)
	case !strings.HasPrefix(c.Program, "/") && strings.Contains(c.Program, "/"):
		return c, fmt.Errorf("%s is neither absolute nor a plain name: write the whole path", c.Program)
	}
	if ownName {
		if c.Args = args[1:]; len(c.Args) == 0 {
			return c, errors.New(`the prefix "@" needs one more word, the name the program gets as argv[0]`)
		}
	}
	return c, nil
}

// argv is the command's arguments with the variables of an environment
// expanded: $NAME as a word of its own becomes as many words as it holds, ${NAME} stays within its word.
func (c command) argv(env map[string]string) []string {
	if c.Verbatim {
		return c.Args
	}
	out := []string{c.Args[0]}
	for _, a := range c.Args[1:] {
		if name, ok := strings.CutPrefix(a, "$"); ok && isVariable(name) {
			words, err := units.SplitWords(env[name])
			if err != nil { // a stray quote in a value: take it as it is
				words = strings.Fields(env[name])
			}
			out = append(out, words...)
			continue
		}
		out = append(out, expandBraced(a, env))
	}
	return out
}

// expandBraced replaces ${NAME} and $$ in a word.
func expandBraced(s string, env map[string]string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i+1 == len(s) {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		s = s[i:]
		if s[1] == '$' {
			b.WriteByte('$')
			s = s[2:]
			continue
		}
		if s[1] == '{' {
			if end := strings.IndexByte(s, '}'); end > 0 && isVariable(s[2:end]) {
				b.WriteString(env[s[2:end]])
				s = s[end+1:]
				continue
			}
		}
		b.WriteByte('$')
		s = s[1:]
	}
}

// isVariable reports whether s can name an environment variable.
func isVariable(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
