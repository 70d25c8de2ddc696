package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"fleettop/units/safefile"
)

// prepared is what a command needs from files that its unit names.
type prepared struct {
	vars map[string]string // of the environment files
	dir  string            // the working directory
	path string            // the program
	err  *startError
}

// prepare reads the environment files and looks for the working directory and
// the program of a command.
func (c *config) prepare(cmd command, dir string) prepared {
	p := prepared{vars: map[string]string{}, dir: dir}
	if err := readEnvironmentFiles(c.EnvironmentFiles, p.vars); err != nil {
		p.err = &startError{resultResources, err.Error()}
		return p
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		if !c.DirectoryMissing {
			p.err = &startError{resultExitCode, fmt.Sprintf(
				"WorkingDirectory: %s: no such directory: create it, or correct the path", dir)}
			return p
		}
		p.dir = "/"
	}
	path, err := findProgram(cmd.Program, defaultPath)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		p.err = &startError{resultExitCode, fmt.Sprintf("%s: %s: %v: install it, or correct line %d",
			cmd.Option, cmd.Program, reason(err), cmd.Line)}
	}
	p.path = path
	return p
}

// prepare prepares a command, unless that takes too long.
func (u *unit) prepare(cmd command, dir string) prepared {
	cfg := u.cfg
	p, ok := within(u.m.files, u.m.fileWait, func() prepared { return cfg.prepare(cmd, dir) })
	if !ok {
		p.err = &startError{resultResources, fmt.Sprintf(
			"the files that %s, WorkingDirectory= and EnvironmentFile= name did not answer within %s: is a file system gone?",
			cmd.Option, u.m.fileWait)}
	}
	return p
}

// readPIDFile returns the process number in the unit's PID file, or 0 where there is none.
func (u *unit) readPIDFile() int {
	path := u.cfg.PIDFile
	pid, _ := within(u.m.files, u.m.fileWait, func() int {
		b, err := safefile.Read(path, maxPIDFile)
		if err != nil {
			return 0
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			return 0
		}
		return pid
	})
	return pid
}

// removePIDFile removes the unit's PID file if it names a process that was the
// unit's: any other file is not ours to delete.
func (u *unit) removePIDFile() {
	if u.cfg.PIDFile == "" || u.st.LastMain == 0 || u.readPIDFile() != u.st.LastMain {
		return
	}
	path := u.cfg.PIDFile
	within(u.m.files, u.m.fileWait, func() error { return os.Remove(path) })
}
