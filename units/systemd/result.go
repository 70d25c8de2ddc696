package systemd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"fleettop/units"
)

// unitResult is what a unit said about how it last ended.
type unitResult struct {
	Result     string // systemd's unit result: success, exit-code, signal, ...
	ExitCode   int    // how its main process ended: one of the CLD_ constants, 0 if it had none
	ExitStatus int    // its exit status or signal
	Begun      uint64 // when systemd last began to start it, in microseconds
}

// CLD_ constants of siginfo_t.
const (
	cldExited = 1
	cldKilled = 2
	cldDumped = 3
)

// ended turns a job's outcome into an error, nil for success. Before is what
// was known of the unit when the job was asked for.
func (v verb) ended(name string, before unitResult, o outcome) error {
	switch o.result {
	case "done", "skipped": // skipped: there was nothing to do
		return nil
	case "failed":
		if v != stop && o.unit.Begun != 0 && o.unit.Begun == before.Begun && o.unit.Result == before.Result {
			// It failed without being tried. systemd leaves the result of the
			// failure that used up the limit.
			o.unit.Result = "start-limit-hit"
		}
		e := &units.JobError{Unit: name, Verb: v.name, Result: o.result, Detail: o.unit.detail()}
		if o.unit.Result != "" && o.unit.Result != "success" {
			e.Result = o.unit.Result
		}
		return e
	}
	return &units.JobError{Unit: name, Verb: v.name, Result: o.result, Detail: jobDetails[o.result]}
}

var jobDetails = map[string]string{
	"canceled":    "another job took its place",
	"timeout":     "its job took longer than JobTimeoutSec= allows",
	"dependency":  "a unit it depends on could not be started; see its own status",
	"assert":      "a condition its Assert…= settings demand is not met",
	"unsupported": "this machine can't run units of its type",
	"invalid":     "systemd can't do that with a unit of its type",
	"collected":   "systemd dropped it before it ran",
	"once":        "it may run only once until the next boot",
}

// exit is how the main process ended, in a word, where the unit failed by that.
func (r unitResult) exit() string {
	switch {
	case r.Result == "exit-code" && r.ExitCode == cldExited && r.ExitStatus != 0:
		return fmt.Sprintf("exit %d", r.ExitStatus)
	case r.Result == "signal" && r.ExitCode == cldKilled, r.Result == "core-dump" && r.ExitCode == cldDumped:
		return unix.SignalName(unix.Signal(r.ExitStatus))
	}
	return ""
}

// detail is a sentence on how a unit failed.
func (r unitResult) detail() string {
	switch r.Result {
	case "exit-code":
		switch {
		case r.ExitCode != cldExited || r.ExitStatus == 0:
			return "a command run before, after or beside its main process failed"
		case setupFailures[r.ExitStatus] != "":
			return fmt.Sprintf("exited with status %d: systemd %s", r.ExitStatus, setupFailures[r.ExitStatus])
		}
		return fmt.Sprintf("exited with status %d", r.ExitStatus)
	case "signal", "core-dump":
		if r.ExitCode != cldKilled && r.ExitCode != cldDumped {
			return "a command run before, after or beside its main process was killed"
		}
		how := "killed by"
		if r.ExitCode == cldDumped {
			how = "dumped core on"
		}
		signal := unix.SignalName(unix.Signal(r.ExitStatus))
		if signal == "" {
			signal = "unnamed"
		}
		return fmt.Sprintf("%s signal %d (%s)", how, r.ExitStatus, signal)
	case "", "success":
		return "see its journal"
	}
	if d := unitDetails[r.Result]; d != "" {
		return d
	}
	return "see its journal"
}

// setupFailures are the exit statuses of systemd's own child before it runs
// the unit's program.
var setupFailures = map[int]string{
	200: "could not change to its WorkingDirectory=",
	202: "could not set up its file descriptors",
	203: "could not execute its program; does it exist, and may it be run?",
	206: "could not read its EnvironmentFile=",
	209: "could not set up its standard output",
	216: "could not take on its Group=",
	217: "could not take on its User=",
	218: "could not set its capabilities",
	219: "could not put it into its control group",
	226: "could not set up its mount namespace",
	228: "could not set up its system call filter",
	233: "could not create its RuntimeDirectory=",
	238: "could not create its StateDirectory=",
}

// unitDetails say what the unit results mean; a JobError says the result itself.
var unitDetails = map[string]string{
	"timeout":                 "it took longer than its Timeout…Sec= settings allow",
	"watchdog":                "its watchdog wasn't fed within WatchdogSec=",
	"start-limit-hit":         "it was started more often than StartLimitBurst= allows; wait, or raise the limit",
	"oom-kill":                "the kernel was out of memory and killed one of its processes",
	"protocol":                "it broke its Type='s protocol: it never said that it is ready, or left no process",
	"resources":               "systemd lacked what it needs to run it; see its journal",
	"exec-condition":          "its ExecCondition= said no",
	"service-start-limit-hit": "the service it activates was started too often",
	"trigger-limit-hit":       "it was triggered more often than TriggerLimitBurst= allows",
	"unit-start-limit-hit":    "the unit it activates was started too often",
	"mount-start-limit-hit":   "its mount was started too often",
}

// refusals are systemd's reasons to refuse a job, by the name of the D-Bus error.
var refusals = map[string]string{
	"NoSuchUnit":                 "not-found",
	"LoadFailed":                 "error",
	"BadUnitSetting":             "bad-setting",
	"UnitMasked":                 "masked",
	"JobTypeNotApplicable":       "not-applicable",
	"OnlyByDependency":           "only-by-dependency",
	"TransactionIsDestructive":   "destructive",
	"TransactionJobsConflicting": "conflict",
	"TransactionOrderIsCyclic":   "order-cycle",
	"ShuttingDown":               "shutting-down",
	"UnitGenerated":              "error",
	"NoIsolation":                "not-applicable",
}

// refused turns the error of a call for a job into one for the caller.
func (v verb) refused(name string, err error) error {
	var refusal dbus.Error
	if errors.Is(err, errLost) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		!errors.As(err, &refusal) {
		return fmt.Errorf("%s %s: %w", v.name, name, err)
	}
	result, known := refusals[strings.TrimPrefix(refusal.Name, busName+".")]
	if !known {
		return fmt.Errorf("%s %s: systemd refused: %w (%s)", v.name, name, err, refusal.Name)
	}
	if v == stop && result == "not-found" {
		return nil // nothing to stop
	}
	return &units.JobError{Unit: name, Verb: v.name, Result: result, Detail: strings.TrimSuffix(refusal.Error(), ".")}
}
