package process

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
	ready := u.prepare(c, u.workingDirectory(who))
	if ready.err != nil {
		return nil, ready.err
	}
	env := u.environment(who, ready.vars)
	l := launch{path: ready.path, argv: c.argv(env), env: environList(env), dir: ready.dir, umask: u.cfg.UMask,
		stdin: u.m.null, out: u.m.null, err: u.m.null}
	if !c.Privileged {
		l.credential = who.credential
	}
	if !u.cfg.NoOutput || !u.cfg.NoErrors {
		f, err := openLog(u.m.logPath(u.name))
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
		return fail(resultExitCode, "%s: %s: %v: correct line %d, or the program's file", c.Option, c.Program, reason(err),
			c.Line)
	}
	u.st.Sessions = append(u.st.Sessions, p.procID)
	u.empty = false
	return p, nil
}

// openLog opens a log to append to, and makes its directory again should that
// be gone. Where a unit has put a FIFO in its place, that doesn't block.
func openLog(path string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_APPEND | os.O_CREATE | unix.O_NONBLOCK
	f, err := os.OpenFile(path, flags, 0o640)
	if errors.Is(err, fs.ErrNotExist) && os.MkdirAll(filepath.Dir(path), 0o755) == nil {
		f, err = os.OpenFile(path, flags, 0o640)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file: remove it", path)
	}
	if err == nil {
		err = unix.SetNonblock(int(f.Fd()), false) // what is open is the unit's as well
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
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

// environment is what a command of the unit finds in its environment; files
// has the variables of its environment files.
func (u *unit) environment(who account, files map[string]string) map[string]string {
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
	maps.Copy(env, files)
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
	return env
}
