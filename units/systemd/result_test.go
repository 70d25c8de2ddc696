package systemd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"fleettop/units"
)

func TestExit(t *testing.T) {
	for want, list := range map[string][]unitResult{
		"exit 3":  {{Result: "exit-code", ExitCode: cldExited, ExitStatus: 3}},
		"SIGKILL": {{Result: "signal", ExitCode: cldKilled, ExitStatus: 9}},
		"SIGSEGV": {{Result: "core-dump", ExitCode: cldDumped, ExitStatus: 11}},
		"": {{Result: "success", ExitCode: cldExited, ExitStatus: 3}, {Result: "exit-code"},
			{Result: "timeout", ExitCode: cldKilled, ExitStatus: 9}, {}},
	} {
		for _, r := range list {
			if got := r.exit(); got != want {
				t.Errorf("%+v says %q, want %q", r, got, want)
			}
		}
	}
}

func TestEnded(t *testing.T) {
	exit := func(status int) unitResult {
		return unitResult{Result: "exit-code", ExitCode: cldExited, ExitStatus: status, Begun: 7}
	}
	for _, test := range []struct {
		verb    verb
		before  unitResult
		outcome outcome
		result  string // of the JobError; empty for success
		detail  string
	}{
		{start, unitResult{}, outcome{result: "done"}, "", ""},
		{stop, unitResult{}, outcome{result: "skipped"}, "", ""},
		{start, unitResult{}, outcome{"failed", exit(3)}, "exit-code", "exited with status 3"},
		{start, unitResult{}, outcome{"failed", exit(203)}, "exit-code", "could not execute"},
		{start, exit(3), outcome{"failed", exit(3)}, "start-limit-hit", "StartLimitBurst"},
		{stop, exit(3), outcome{"failed", exit(3)}, "exit-code", "status 3"},
		{start, unitResult{}, outcome{"failed", unitResult{Result: "exit-code"}}, "exit-code", "command run before"},
		{restart, unitResult{}, outcome{"failed", unitResult{Result: "signal", ExitCode: cldKilled, ExitStatus: 9}}, "signal",
			"killed by signal 9 (SIGKILL)"},
		{start, unitResult{}, outcome{"failed", unitResult{Result: "core-dump", ExitCode: cldDumped, ExitStatus: 11}},
			"core-dump", "dumped core on signal 11 (SIGSEGV)"},
		{start, unitResult{}, outcome{"failed", unitResult{Result: "start-limit-hit"}}, "start-limit-hit", "StartLimitBurst"},
		{start, unitResult{}, outcome{"failed", unitResult{Result: "timeout"}}, "timeout", "Timeout…Sec="},
		{start, unitResult{}, outcome{"failed", unitResult{Result: "success"}}, "failed", "journal"},
		{start, unitResult{}, outcome{"failed", unitResult{}}, "failed", "journal"},
		{start, unitResult{}, outcome{"failed", unitResult{Result: "of-the-future"}}, "of-the-future", "journal"},
		{start, unitResult{}, outcome{result: "timeout"}, "timeout", "JobTimeoutSec"},
		{start, unitResult{}, outcome{result: "dependency"}, "dependency", "depends on"},
		{start, unitResult{}, outcome{result: "canceled"}, "canceled", "another job"},
	} {
		err := test.verb.ended("web.service", test.before, test.outcome)
		if test.result == "" {
			if err != nil {
				t.Errorf("%+v: %v, want success", test.outcome, err)
			}
			continue
		}
		var job *units.JobError
		if !errors.As(err, &job) || job.Unit != "web.service" || job.Verb != test.verb.name || job.Result != test.result ||
			!strings.Contains(job.Detail, test.detail) {
			t.Errorf("%+v: %+v, want result %s and a detail with %q", test.outcome, err, test.result, test.detail)
		}
	}
}

// TestDetailsDontRepeatResults keeps errors from reading "timeout: timeout: …".
func TestDetailsDontRepeatResults(t *testing.T) {
	for _, details := range []map[string]string{jobDetails, unitDetails} {
		for result, detail := range details {
			if words := strings.ReplaceAll(result, "-", " "); strings.HasPrefix(detail, words) ||
				strings.HasPrefix(detail, result) {
				t.Errorf("%v", &units.JobError{Unit: "web.service", Verb: "start", Result: result, Detail: detail})
			}
		}
	}
}

func TestRefused(t *testing.T) {
	refusal := func(name string) error {
		return dbus.Error{Name: busName + "." + name, Body: []any{"Unit web.service is special."}}
	}
	var job *units.JobError
	if err := start.refused("web.service", refusal("UnitMasked")); !errors.As(err, &job) || job.Result != "masked" ||
		job.Detail != "Unit web.service is special" {
		t.Errorf("a masked unit: %v", err)
	}
	if err := stop.refused("web.service", refusal("NoSuchUnit")); err != nil {
		t.Errorf("stopping what systemd doesn't know: %v", err)
	}
	for _, cause := range []error{
		refusal("NeverHeardOf"), fmt.Errorf("wrapped: %w", errLost), context.DeadlineExceeded, context.Canceled,
	} {
		err := start.refused("web.service", cause)
		if errors.As(err, &job) || !strings.Contains(err.Error(), "start web.service") {
			t.Errorf("%v became %v, want a plain error that says what was tried", cause, err)
		}
		if _, isRefusal := cause.(dbus.Error); !isRefusal && !errors.Is(err, cause) {
			t.Errorf("%v doesn't wrap %v", err, cause)
		}
	}
}

// The outcome of a job reaches all who asked for it, whichever is read first,
// the answer or the outcome, and nothing is kept afterwards.
func TestJobs(t *testing.T) {
	const path, other = dbus.ObjectPath("/job/1"), dbus.ObjectPath("/job/2")
	j := newJobs()
	j.asking()
	j.asking() // of the same job, merged by systemd
	j.asking() // refused
	first := j.asked(path, nil)
	j.done(path, outcome{result: "done"})
	j.done(other, outcome{result: "failed"})
	second := j.asked(path, nil)
	j.asked("", errors.New("refused"))
	for _, ch := range []<-chan outcome{first, second} {
		select {
		case o := <-ch:
			if o.result != "done" {
				t.Errorf("outcome %+v", o)
			}
		default:
			t.Error("an outcome got lost")
		}
	}
	j.asking()
	left := j.asked(path, nil)
	j.asking()
	stays := j.asked(path, nil)
	j.leave(path, left)
	j.done(path, outcome{result: "canceled"})
	if len(left) != 0 || len(stays) != 1 {
		t.Errorf("who left has %d outcomes, who stayed %d", len(left), len(stays))
	}
	if len(j.waiting) != 0 || len(j.early) != 0 || j.open != 0 {
		t.Errorf("kept: %+v", j)
	}
}
