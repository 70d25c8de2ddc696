package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// startError is why a command could not be run.
type startError struct{ result, detail string }

// spawn runs one of the unit's commands.
func (u *unit) spawn(c command) (*process, *startError) {
	fail := func(result, format string, args ...any) (*process, *startError) {
		return nil, &startError{result, fmt.Sprintf(format, args...)}
	}
	if u.unsaved != nil && activeOf(u.st.Sub) == "activating" {
		// If the daemon died now, nobody would know of the process.
		return fail(resultResources, "its state could not be recorded: %v: make room in %s", u.unsaved, u.m.disk.dir)
	}
	who, err := findAccount(u.cfg.User, u.cfg.Group, u.m.host)
	if err != nil {
		return fail(resultExitCode, "%v", err)
	}
	env, err := u.environment(who)
	if err != nil {
		return fail(resultResources, "%v", err)
	}
	dir := u.workingDirectory(who)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		if !u.cfg.DirectoryMissing {
			return fail(resultExitCode, "WorkingDirectory: %s: no such directory: create it, or correct the path", dir)
		}
		dir = "/"
	}
	path, err := findProgram(c.Program, defaultPath)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		return fail(resultExitCode, "%s: %s: %v: install it, or correct line %d", c.Option, c.Program, reason(err), c.Line)
	}
	l := launch{path: path, argv: c.argv(env), env: environList(env), dir: dir, umask: u.cfg.UMask, stdin: u.m.null, out: u.m.null, err: u.m.null}
	if !c.Privileged {
		l.credential = who.credential
	}
	if !u.cfg.NoOutput || !u.cfg.NoErrors {
		f, err := os.OpenFile(u.m.logPath(u.name), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
		if err != nil {
			return fail(resultResources, "open the unit's log: %v: make room, or let the daemon write there", err)
		}
		defer func() { _ = f.Close() }()
		if !u.cfg.NoOutput {
			l.out = f
		}
		if !u.cfg.NoErrors {
			l.err = f
		}
	}
	p, err := u.m.spawn.start(l)
	if err != nil {
		return fail(resultExitCode, "%s: %s: %v: correct line %d, or the program's file", c.Option, c.Program, reason(err), c.Line)
	}
	u.st.Sessions = append(u.st.Sessions, p.procID)
	u.empty = false
	return p, nil
}

func (u *unit) workingDirectory(who account) string {
	home := who.home
	if home == "" {
		home = u.m.host.user.HomeDir
	}
	switch dir := u.cfg.WorkingDirectory; {
	case dir == "~", dir == "" && !u.m.host.root:
		return home
	case dir == "":
		return "/"
	default:
		return filepath.Clean(dir)
	}
}

// environment is what a command of the unit finds in its environment.
func (u *unit) environment(who account) (map[string]string, error) {
	env := map[string]string{"PATH": defaultPath, "LANG": "C.UTF-8"}
	if lang := os.Getenv("LANG"); lang != "" {
		env["LANG"] = lang
	}
	if who.name == "" && !u.m.host.root {
		h := u.m.host.user
		who = account{name: h.Username, home: h.HomeDir, shell: shellOf(h.Username)}
		if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
			env["XDG_RUNTIME_DIR"] = dir
		}
	}
	if who.name != "" {
		env["USER"], env["LOGNAME"], env["HOME"], env["SHELL"] = who.name, who.name, who.home, who.shell
	}
	for _, k := range u.cfg.PassEnvironment {
		if v, ok := os.LookupEnv(k); ok {
			env[k] = v
		}
	}
	for _, kv := range u.cfg.Environment {
		env[kv[0]] = kv[1]
	}
	for _, f := range u.cfg.EnvironmentFiles {
		if err := f.read(env); err != nil {
			return nil, err
		}
	}
	for _, k := range u.cfg.UnsetEnvironment {
		delete(env, k)
	}
	// What follows is how the unit and its processes are known; nothing may change it.
	env["INVOCATION_ID"] = u.st.Invocation
	if u.main != nil {
		env["MAINPID"] = strconv.Itoa(u.main.PID)
	}
	if u.socket != nil {
		env["NOTIFY_SOCKET"] = u.socket.path
	}
	if u.cfg.Watchdog > 0 {
		env["WATCHDOG_USEC"] = strconv.FormatInt(u.cfg.Watchdog.Microseconds(), 10)
	}
	if activeOf(u.st.Sub) == "deactivating" {
		env["SERVICE_RESULT"] = u.st.Result
		if x := u.st.MainExit; x != nil && x.Known {
			env["EXIT_CODE"], env["EXIT_STATUS"] = "exited", strconv.Itoa(x.Code)
			if x.Signal != 0 {
				env["EXIT_CODE"], env["EXIT_STATUS"] = "killed", strings.TrimPrefix(unix.SignalName(x.Signal), "SIG")
			}
		}
	}
	return env, nil
}
