package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

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
			p.err = &startError{resultExitCode, fmt.Sprintf("WorkingDirectory: %s: no such directory: create it, or correct the path", dir)}
			return p
		}
		p.dir = "/"
	}
	path, err := findProgram(cmd.Program, defaultPath)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		p.err = &startError{resultExitCode, fmt.Sprintf("%s: %s: %v: install it, or correct line %d", cmd.Option, cmd.Program, reason(err), cmd.Line)}
	}
	p.path = path
	return p
}

// prepareWithin prepares a command, unless that takes too long.
func (c *config) prepareWithin(wait time.Duration, cmd command, dir string) prepared {
	p, ok := within(wait, func() prepared { return c.prepare(cmd, dir) })
	if !ok {
		p.err = &startError{resultResources, fmt.Sprintf(
			"the files that %s, WorkingDirectory= and EnvironmentFile= name did not answer within %s: is a file system gone?", cmd.Option, wait)}
	}
	return p
}

// readPIDFile returns the process number in a PID file, or 0 where there is none.
func readPIDFile(path string) int {
	pid, _ := within(fileWait, func() int {
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
	if u.cfg.PIDFile == "" || u.st.LastMain == 0 || readPIDFile(u.cfg.PIDFile) != u.st.LastMain {
		return
	}
	within(fileWait, func() error { return os.Remove(u.cfg.PIDFile) })
}
