package units

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

var serviceTypes = []string{"simple", "exec", "forking", "oneshot", "dbus", "notify", "notify-reload", "idle"}

var restartWords = []string{"no", "always", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort"}

// commandOptions are the options of [Service] that hold command lines.
var commandOptions = []string{
	"ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost",
}

// validateService refuses the services that systemd refuses in service_verify
// and in its parser of command lines.
func validateService(n Name, f *File) error {
	commands, err := f.commands()
	if err != nil {
		return err
	}
	start, stop := commands["ExecStart"], commands["ExecStop"]
	success, ok := f.last("Unit", "SuccessAction")
	ends := ok && success.Value != "none" // its only purpose is to end the machine
	if len(start) == 0 && !ends {
		if err := f.needSection(n, "Service", "ExecStart="); err != nil {
			return err
		}
	}

	kind, hasKind := f.serviceType(start)
	_, hasBus := f.last("Service", "BusName")
	restart, hasRestart := f.last("Service", "Restart")
	remains := f.remains()
	switch {
	case hasKind && !slices.Contains(serviceTypes, kind.Value):
		return unknownWord(kind, serviceTypes)
	case hasRestart && !slices.Contains(restartWords, restart.Value):
		return unknownWord(restart, restartWords)
	}

	oneshot := kind.Value == "oneshot"
	switch {
	case len(start)+len(stop) == 0 && !ends:
		return fileErrorf(f.line("Service"), "the service has nothing to run: add ExecStart=")
	case len(start) == 0 && !oneshot:
		return fileErrorf(kind.Line, "a service without ExecStart= must be Type=oneshot, not %s: "+
			"add ExecStart=, or change the type", kind.Value)
	case len(start) == 0 && !remains && !ends:
		return fileErrorf(f.line("Service"), "a service with ExecStop= alone ends as soon as it starts: "+
			"add ExecStart=, or RemainAfterExit=yes")
	case len(start) > 1 && !oneshot:
		return fileErrorf(start[1].Line, "a second ExecStart= command is only for Type=oneshot, and the type is %s: "+
			"remove one, use ExecStartPre=, or set Type=oneshot", kind.Value)
	case oneshot && (restart.Value == "always" || restart.Value == "on-success"):
		return fileErrorf(restart.Line, "Restart=%s is not for Type=oneshot, which would run for ever: "+
			"use on-failure, or another type", restart.Value)
	case kind.Value == "dbus" && !hasBus:
		return fileErrorf(kind.Line, "Type=dbus needs the name to wait for: add BusName=")
	}
	return nil
}

// serviceType returns the type of a service with these ExecStart= commands, or
// systemd's default for it, and whether the file says it.
func (f *File) serviceType(start []Option) (kind Option, said bool) {
	if kind, said = f.last("Service", "Type"); said {
		return kind, true
	}
	bus, hasBus := f.last("Service", "BusName")
	switch {
	case hasBus:
		return Option{Line: bus.Line, Value: "dbus"}, false
	case len(start) > 0:
		return Option{Line: start[0].Line, Value: "simple"}, false
	}
	return Option{Line: f.line("Service"), Value: "oneshot"}, false
}

// remains reports whether a service counts as active after its processes have ended.
func (f *File) remains() bool {
	remain, _ := f.last("Service", "RemainAfterExit")
	yes, _ := parseBool(remain.Value)
	return yes
}

// RunsOnce reports whether a unit named n runs, ends and is then done: a
// service of Type=oneshot without RemainAfterExit=.
func (f *File) RunsOnce(n Name) bool {
	kind, _ := f.serviceType(f.settings("Service", "ExecStart"))
	return n.Type() == "service" && kind.Value == "oneshot" && !f.remains()
}

// RemainsActive reports whether a unit named n is active though none of its processes is left: a
// service with RemainAfterExit=.
func (f *File) RemainsActive(n Name) bool { return n.Type() == "service" && f.remains() }

// commands returns, for each setting with command lines, the option of each of
// its commands in force.
func (f *File) commands() (map[string][]Option, error) {
	commands := map[string][]Option{}
	for _, name := range commandOptions {
		for _, o := range f.settings("Service", name) {
			count, err := countCommands(o.Value)
			if err != nil {
				return nil, fileErrorf(o.Line, "%s=%s: %v", o.Name, cut(o.Value, 80), err)
			}
			for range count {
				commands[name] = append(commands[name], o)
			}
		}
	}
	return commands, nil
}

// unknownWord is the error for an option with an unknown value.
func unknownWord(o Option, known []string) error {
	return fileErrorf(o.Line, "%s=%s is not known: did you mean %s? Known are %s",
		o.Name, o.Value, nearest(o.Value, known), andList(known))
}

// countCommands counts the commands of a line, which single semicolons separate.
// An invalid command is an error, or not counted if its - prefix makes systemd
// ignore it and the rest of the line.
func countCommands(line string) (int, error) {
	count := 0
	for rest := strings.TrimLeft(line, space); rest != ""; rest = strings.TrimLeft(rest, space) {
		given := rest[:len(rest)-len(strings.TrimLeft(rest, prefixes))]
		first, after, _, err := nextWord(rest)
		if err == nil && first == ";" {
			rest = after
			continue
		}
		if err == nil {
			err = checkProgram(strings.TrimLeft(first, prefixes))
		}
		args := 0
		if err == nil {
			args, rest, err = skipArguments(after)
		}
		if err == nil && args == 0 && strings.Contains(given, "@") {
			err = errors.New("the prefix @ needs one more word, the name the program gets as argv[0]")
		}
		switch {
		case err == nil:
			count++
		case strings.Contains(given, "-"):
			return count, nil
		default:
			return 0, err
		}
	}
	return count, nil
}

// prefixes are the special characters before a program's path.
const prefixes = "-@:+!|"

// checkProgram refuses an impossible path of a program.
func checkProgram(path string) error {
	unsafe := func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`"'\`, r) }
	switch {
	case path == "":
		return errors.New("there is no program: write its path, right after the prefix if there is one")
	case strings.IndexFunc(path, unsafe) >= 0:
		return fmt.Errorf("the program's name %q has a quote, a backslash or a control character in it, "+
			"which systemd refuses: rename it", path)
	case strings.HasSuffix(path, "/"):
		return fmt.Errorf("%s is a directory: name the program in it", path)
	case path == "." || path == "..":
		return fmt.Errorf("%s is a directory: name a program", path)
	case strings.Contains(path, "/") && path[0] != '/' && !mayBeAbsolute(path):
		return fmt.Errorf("%s is a relative path: begin it with a slash, or give the program's name alone", path)
	}
	return nil
}

// mayBeAbsolute reports whether a path begins with a specifier that may expand
// to an absolute path.
func mayBeAbsolute(path string) bool {
	return len(path) > 1 && path[0] == '%' && strings.IndexByte("CDEIJLPSTVdfhstyY", path[1]) >= 0
}

// skipArguments counts the arguments of a command, and returns what follows
// them and the semicolon that ends them.
func skipArguments(line string) (args int, rest string, err error) {
	for ; ; args++ {
		line = strings.TrimLeft(line, space)
		first, rest := cutBlank(line)
		switch first {
		case "":
			return args, "", nil
		case ";":
			return args, rest, nil
		case `\;`:
			line = rest
			continue
		}
		if _, line, _, err = nextWord(line); err != nil {
			return args, "", err
		}
	}
}
