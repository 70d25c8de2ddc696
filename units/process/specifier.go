package process

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"fleettop/units"
	"fleettop/units/proc"
)

// host is what specifiers and defaults need to know of this machine. It is
// read once, when a manager opens.
type host struct {
	machineID, bootID string
	hostname, release string
	user              *user.User // whom the daemon runs as
	group             string
	root              bool
	runtimeDir        string
}

func readHost() (*host, error) {
	boot, err := readBootID()
	if err != nil {
		return nil, err
	}
	h := &host{bootID: boot, root: os.Geteuid() == 0, runtimeDir: "/run"}
	if id, err := os.ReadFile("/etc/machine-id"); err == nil {
		h.machineID = strings.TrimSpace(string(id))
	}
	h.hostname, _ = os.Hostname()
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		h.release = unix.ByteSliceToString(uts.Release[:])
	}
	if h.user, err = user.Current(); err != nil {
		// A container may run under a number that no passwd file knows.
		h.user = &user.User{Uid: fmt.Sprint(os.Geteuid()), Gid: fmt.Sprint(os.Getegid()),
			Username: fmt.Sprint(os.Geteuid()), HomeDir: "/"}
	}
	h.group = h.user.Gid
	if g, err := user.LookupGroupId(h.user.Gid); err == nil {
		h.group = g.Name
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); !h.root && dir != "" {
		h.runtimeDir = dir
	}
	return h, nil
}

// readBootID returns the identification of this boot as systemd writes it.
func readBootID() (string, error) {
	id, err := proc.BootID()
	return strings.ReplaceAll(id, "-", ""), err
}

// specifiers expands the %-specifiers of one unit's file.
type specifiers struct {
	name units.Name
	host *host
}

// expand replaces the specifiers in s. One that is unknown is an error, as
// with systemd, and so is one that only systemd can expand.
func (sp *specifiers) expand(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	if c := units.UnknownSpecifier(s); c != 0 {
		return "", fmt.Errorf("%%%c is no specifier: write %%%%%c for the characters themselves", c, c)
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		v, err := sp.value(s[i])
		if err != nil {
			return "", err
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

func (sp *specifiers) value(c byte) (string, error) {
	n, h := sp.name, sp.host
	system := func(root, below string) string {
		if h.root {
			return root
		}
		return h.user.HomeDir + below
	}
	switch c {
	case '%':
		return "%", nil
	case 'n':
		return n.String(), nil
	case 'N':
		return n.Base(), nil
	case 'p':
		return n.Prefix(), nil
	case 'P':
		return unescapeName(n.Prefix()), nil
	case 'i':
		return n.Instance(), nil
	case 'I':
		return unescapeName(n.Instance()), nil
	case 'j', 'J':
		last := n.Prefix()[strings.LastIndexByte(n.Prefix(), '-')+1:]
		if c == 'J' {
			last = unescapeName(last)
		}
		return last, nil
	case 'f':
		of := n.Instance()
		if of == "" {
			of = n.Prefix()
		}
		return "/" + strings.TrimPrefix(unescapeName(of), "/"), nil
	case 't':
		return h.runtimeDir, nil
	case 'h':
		return h.user.HomeDir, nil
	case 'u':
		return h.user.Username, nil
	case 'U':
		return h.user.Uid, nil
	case 'g':
		return h.group, nil
	case 'G':
		return h.user.Gid, nil
	case 's':
		return shellOf(h.user.Username), nil
	case 'm':
		return h.machineID, nil
	case 'b':
		return h.bootID, nil
	case 'H':
		return h.hostname, nil
	case 'l':
		short, _, _ := strings.Cut(h.hostname, ".")
		return short, nil
	case 'v':
		return h.release, nil
	case 'T':
		return "/tmp", nil
	case 'V':
		return "/var/tmp", nil
	case 'E':
		return system("/etc", "/.config"), nil
	case 'S':
		return system("/var/lib", "/.local/state"), nil
	case 'C':
		return system("/var/cache", "/.cache"), nil
	case 'L':
		return system("/var/log", "/.local/state/log"), nil
	case 'a', 'A', 'B', 'c', 'd', 'D', 'M', 'o', 'q', 'r', 'R', 'w', 'W', 'y', 'Y':
		return "", fmt.Errorf("the specifier %%%c needs systemd: write its value out, or %%%%%c for the characters themselves", c, c)
	}
	return "%" + string([]byte{c}), nil
}

// unescapeName undoes systemd's escaping of unit names: "-" is "/", \xHH a byte.
func unescapeName(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '-' {
			b.WriteByte('/')
			continue
		}
		if s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x' {
			if c, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// shellOf is a user's login shell. os/user doesn't tell it.
func shellOf(name string) string {
	passwd, err := os.ReadFile("/etc/passwd")
	if err == nil {
		for line := range strings.Lines(string(passwd)) {
			f := strings.Split(strings.TrimRight(line, "\n"), ":")
			if len(f) >= 7 && f[0] == name && f[6] != "" {
				return f[6]
			}
		}
	}
	return "/bin/sh"
}
