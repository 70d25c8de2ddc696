package process

import (
	"fmt"
	"syscall"
)

// wantsRestart is Restart= applied to how the unit ended.
func (u *unit) wantsRestart() bool {
	r, x := u.st.Result, exit{}
	if u.st.MainExit != nil {
		x = *u.st.MainExit
	}
	if u.cfg.RestartPrevent.has(x) {
		return false
	}
	if u.cfg.RestartForce.has(x) {
		return true
	}
	switch u.cfg.Restart {
	case "always":
		return true
	case "on-success":
		return r == resultSuccess
	case "on-failure":
		return r != resultSuccess
	case "on-abnormal":
		return r != resultSuccess && r != resultExitCode
	case "on-watchdog":
		return r == resultWatchdog
	case "on-abort":
		return r == resultSignal || r == resultCoreDump
	}
	return false
}

// classify judges how a process ended, as systemd does.
func (u *unit) classify(c *command, x exit, daemon bool) string {
	stopping := activeOf(u.st.Sub) == "deactivating"
	switch {
	case c != nil && c.IgnoreFailure, !x.Known && stopping, x.Known && x.Signal == 0 && x.Code == 0, u.cfg.Success.has(x):
		return resultSuccess
	case x.Signal == 0:
		return resultExitCode
	case daemon && (x.Signal == syscall.SIGHUP || x.Signal == syscall.SIGINT || x.Signal == syscall.SIGTERM ||
		x.Signal == syscall.SIGPIPE):
		return resultSuccess
	case x.Core:
		return resultCoreDump
	}
	return resultSignal
}

func (u *unit) sentence(c *command, x exit) string {
	what := "the main process"
	if c != nil {
		what = c.Option + ": " + c.Program
	}
	return fmt.Sprintf("%s: %s: see its output in %s", what, x, u.m.logPath(u.name))
}
