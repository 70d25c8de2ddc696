package process

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fleettop/units"
	"fleettop/units/timespan"
)

type setter func(*compiler, units.Option) error

// withoutMeaning are the options that are taken and change nothing here, each
// with the reason why nothing is lost. What is in no table is refused.
var withoutMeaning = map[string]string{
	"Unit.Description":          "for people",
	"Unit.Documentation":        "for people",
	"Unit.After":                "an order only; what it waits for on this host was up before the daemon, and units of the cluster may be anywhere",
	"Unit.Before":               "an order only, as After",
	"Unit.DefaultDependencies":  "there are no dependencies by default",
	"Unit.CollectMode":          "units are forgotten by Unload alone",
	"Unit.SourcePath":           "for people",
	"Install.Alias":             "enabling means nothing here: the cluster starts units, not the boot",
	"Install.WantedBy":          "as Alias",
	"Install.RequiredBy":        "as Alias",
	"Install.UpheldBy":          "as Alias",
	"Install.Also":              "as Alias",
	"Install.DefaultInstance":   "as Alias",
	"Service.ExecReload":        "no verb of this program reloads a unit",
	"Service.SyslogIdentifier":  "output goes to the unit's own log file, unlabelled",
	"Service.SyslogFacility":    "as SyslogIdentifier",
	"Service.SyslogLevel":       "as SyslogIdentifier",
	"Service.SyslogLevelPrefix": "as SyslogIdentifier",
}

// sections has what is done with each option, by section.
var sections = map[string]map[string]setter{
	"Unit": {
		"Wants": func(c *compiler, o units.Option) error { return list(&c.Wants, o, c.sp) },
		// What these name could not be watched over; the targets of the boot were reached before the daemon started.
		"Requires": bootTargetsOnly, "Requisite": bootTargetsOnly, "BindsTo": bootTargetsOnly, "PartOf": bootTargetsOnly,
		"Conflicts":             shutdownOnly,
		"StartLimitInterval":    func(c *compiler, o units.Option) error { return span(&c.LimitInterval, o) },
		"StartLimitIntervalSec": func(c *compiler, o units.Option) error { return span(&c.LimitInterval, o) },
		"StartLimitBurst":       func(c *compiler, o units.Option) error { return number(&c.LimitBurst, o) },
		"StartLimitAction":      only("none"),
	},
	"Install": {},
	"Service": {
		"Type":          setType,
		"ExecStartPre":  func(c *compiler, o units.Option) error { return c.exec(&c.StartPre, o) },
		"ExecStart":     func(c *compiler, o units.Option) error { return c.exec(&c.Start, o) },
		"ExecStartPost": func(c *compiler, o units.Option) error { return c.exec(&c.StartPost, o) },
		"ExecStop":      func(c *compiler, o units.Option) error { return c.exec(&c.Stop, o) },
		"ExecStopPost":  func(c *compiler, o units.Option) error { return c.exec(&c.StopPost, o) },

		"Environment":      setEnvironment,
		"EnvironmentFile":  setEnvironmentFile,
		"PassEnvironment":  func(c *compiler, o units.Option) error { return list(&c.PassEnvironment, o, c.sp) },
		"UnsetEnvironment": func(c *compiler, o units.Option) error { return list(&c.UnsetEnvironment, o, c.sp) },
		"WorkingDirectory": setWorkingDirectory,
		"User":             func(c *compiler, o units.Option) error { return c.text(&c.User, o) },
		"Group":            func(c *compiler, o units.Option) error { return c.text(&c.Group, o) },
		"UMask":            setUMask,
		"StandardInput":    only("null"),
		"StandardOutput":   func(c *compiler, o units.Option) error { return output(&c.NoOutput, o) },
		"StandardError": func(c *compiler, o units.Option) error {
			c.errorsSet = o.Value != "inherit"
			return output(&c.NoErrors, o)
		},

		"Restart": choice(func(c *config) *string { return &c.Restart }, "no", "on-success", "on-failure",
			"on-abnormal", "on-watchdog", "on-abort", "always"),
		"RestartSec":              func(c *compiler, o units.Option) error { return span(&c.RestartDelay, o) },
		"StartLimitInterval":      func(c *compiler, o units.Option) error { return span(&c.LimitInterval, o) },
		"StartLimitBurst":         func(c *compiler, o units.Option) error { return number(&c.LimitBurst, o) },
		"StartLimitAction":        only("none"),
		"TimeoutStartSec":         setStartTimeout,
		"TimeoutStopSec":          func(c *compiler, o units.Option) error { return timeout(&c.StopTimeout, o) },
		"TimeoutSec":              setTimeout,
		"TimeoutStartFailureMode": only("terminate"),
		"TimeoutStopFailureMode":  only("terminate"),
		"WatchdogSec":             setWatchdog,
		"WatchdogSignal":          only("SIGABRT", "ABRT", "6"),
		"KillMode": choice(func(c *config) *string { return &c.KillMode }, "control-group", "mixed",
			"process", "none"),
		"KillSignal":               func(c *compiler, o units.Option) error { return setSignal(&c.KillSignal, o) },
		"FinalKillSignal":          func(c *compiler, o units.Option) error { return setSignal(&c.FinalSignal, o) },
		"SendSIGKILL":              func(c *compiler, o units.Option) error { return boolean(&c.SendSIGKILL, o) },
		"SendSIGHUP":               func(c *compiler, o units.Option) error { return boolean(&c.SendSIGHUP, o) },
		"RemainAfterExit":          func(c *compiler, o units.Option) error { return boolean(&c.RemainAfterExit, o) },
		"GuessMainPID":             func(c *compiler, o units.Option) error { return boolean(&c.GuessMainPID, o) },
		"PIDFile":                  setPIDFile,
		"NotifyAccess":             choice(func(c *config) *string { return &c.NotifyAccess }, "none", "main", "exec", "all"),
		"SuccessExitStatus":        func(c *compiler, o units.Option) error { return c.Success.add(o.Value) },
		"RestartPreventExitStatus": func(c *compiler, o units.Option) error { return c.RestartPrevent.add(o.Value) },
		"RestartForceExitStatus":   func(c *compiler, o units.Option) error { return c.RestartForce.add(o.Value) },
		// Child processes of Go programs start with SIGPIPE at its default.
		"IgnoreSIGPIPE": only("no", "false", "off", "0"),
	},
}

func (c *compiler) exec(to *[]command, o units.Option) error {
	if strings.TrimSpace(o.Value) == "" {
		*to = nil
		return nil
	}
	cmds, err := parseCommands(o.Name, o.Value, o.Line, c.sp)
	*to = append(*to, cmds...)
	return err
}

func (c *compiler) text(to *string, o units.Option) (err error) {
	*to, err = c.sp.expand(strings.TrimSpace(o.Value))
	return err
}

func setType(c *compiler, o units.Option) error {
	switch o.Value {
	case "simple", "exec", "oneshot", "notify", "forking":
		c.Type = o.Value
		return nil
	case "idle", "dbus", "notify-reload":
		return fmt.Errorf("%s needs systemd: use simple, exec, oneshot, notify or forking", o.Value)
	}
	return fmt.Errorf("%q is no type of service: use simple, exec, oneshot, notify or forking", o.Value)
}

func setEnvironment(c *compiler, o units.Option) error {
	if o.Value == "" {
		c.Environment = nil
		return nil
	}
	more, err := parseAssignments(o.Value, c.sp)
	c.Environment = append(c.Environment, more...)
	return err
}

func setEnvironmentFile(c *compiler, o units.Option) error {
	if o.Value == "" {
		c.EnvironmentFiles = nil
		return nil
	}
	path, optional := strings.CutPrefix(o.Value, "-")
	path, err := c.sp.expand(path)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q is not an absolute path: write the whole path", path)
	}
	c.EnvironmentFiles = append(c.EnvironmentFiles, environmentFile{Path: path, Optional: optional})
	return nil
}

func setWorkingDirectory(c *compiler, o units.Option) error {
	path, missing := strings.CutPrefix(o.Value, "-")
	path, err := c.sp.expand(path)
	if err != nil {
		return err
	}
	if path != "" && path != "~" && !filepath.IsAbs(path) {
		return fmt.Errorf("%q is not an absolute path: write the whole path, or ~ for the user's home", path)
	}
	c.WorkingDirectory, c.DirectoryMissing = path, missing
	return nil
}

func setUMask(c *compiler, o units.Option) error {
	n, err := strconv.ParseUint(o.Value, 8, 16)
	if err != nil || n > 0o777 {
		return fmt.Errorf("%q is not a file mode mask: write it in octal, like 0027", o.Value)
	}
	c.UMask = int(n)
	return nil
}

func setPIDFile(c *compiler, o units.Option) error {
	if err := c.text(&c.PIDFile, o); err != nil {
		return err
	}
	if c.PIDFile != "" && !filepath.IsAbs(c.PIDFile) {
		c.PIDFile = filepath.Join(c.sp.host.runtimeDir, c.PIDFile)
	}
	return nil
}

func setStartTimeout(c *compiler, o units.Option) error {
	c.startTimeSet = true
	return timeout(&c.StartTimeout, o)
}

func setTimeout(c *compiler, o units.Option) error {
	if err := setStartTimeout(c, o); err != nil {
		return err
	}
	c.StopTimeout = c.StartTimeout
	return nil
}

func setWatchdog(c *compiler, o units.Option) error {
	if err := span(&c.Watchdog, o); err != nil {
		return err
	}
	if c.Watchdog == timespan.Infinity {
		c.Watchdog = 0
	}
	return nil
}

// bootTargets are the targets that are reached before a daemon starts.
var bootTargets = []string{"basic.target", "local-fs.target", "multi-user.target", "network.target",
	"network-online.target",
	"nss-lookup.target", "remote-fs.target", "sysinit.target", "time-sync.target"}

func bootTargetsOnly(c *compiler, o units.Option) error {
	for _, n := range strings.Fields(o.Value) {
		if !slices.Contains(bootTargets, n) {
			return fmt.Errorf("it would tie this unit to %s, which needs systemd: use Wants=, or place the unit on a machine with systemd", n)
		}
	}
	return nil
}

func shutdownOnly(c *compiler, o units.Option) error {
	for _, n := range strings.Fields(o.Value) {
		if n != "shutdown.target" && n != "umount.target" {
			return fmt.Errorf("stopping %s for this unit needs systemd: use Conflicts= in [X-Fleet] to keep them apart", n)
		}
	}
	return nil
}

func only(allowed ...string) setter {
	return func(_ *compiler, o units.Option) error {
		if o.Value == "" || slices.Contains(allowed, o.Value) {
			return nil
		}
		return fmt.Errorf("%q needs systemd: only %s works here", o.Value, strings.Join(allowed, " or "))
	}
}

func choice(to func(*config) *string, allowed ...string) setter {
	return func(c *compiler, o units.Option) error {
		if !slices.Contains(allowed, o.Value) {
			return fmt.Errorf("%q is not known: use one of %s", o.Value, strings.Join(allowed, ", "))
		}
		*to(c.config) = o.Value
		return nil
	}
}

func output(null *bool, o units.Option) error {
	switch o.Value {
	case "null":
		*null = true
	case "", "inherit", "journal", "syslog", "journal+console", "syslog+console", "kmsg":
		*null = false
	default:
		return fmt.Errorf("%q needs systemd: leave it out, and output goes to the unit's log", o.Value)
	}
	return nil
}

func list(to *[]string, o units.Option, sp *specifiers) error {
	words, err := units.SplitWords(o.Value)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		*to = nil
	}
	for _, w := range words {
		if w, err = sp.expand(w); err != nil {
			return err
		}
		*to = append(*to, w)
	}
	return nil
}

func span(to *time.Duration, o units.Option) (err error) {
	*to, err = timespan.Parse(o.Value)
	return err
}

// timeout reads a time span of which 0 means never.
func timeout(to *time.Duration, o units.Option) error {
	err := span(to, o)
	if *to == 0 {
		*to = timespan.Infinity
	}
	return err
}

func number(to *int, o units.Option) error {
	n, err := strconv.ParseUint(o.Value, 10, 31)
	if err != nil || n > math.MaxInt32 {
		return fmt.Errorf("%q is not a number: write one, 0 or greater", o.Value)
	}
	*to = int(n)
	return nil
}

func boolean(to *bool, o units.Option) error {
	switch strings.ToLower(o.Value) {
	case "1", "yes", "y", "true", "t", "on":
		*to = true
	case "0", "no", "n", "false", "f", "off":
		*to = false
	default:
		return fmt.Errorf("%q is neither yes nor no: write one of them", o.Value)
	}
	return nil
}

func setSignal(to *syscall.Signal, o units.Option) error {
	s, ok := signalOf(o.Value)
	if !ok {
		return fmt.Errorf("%q is not a signal: write a name like SIGTERM", o.Value)
	}
	*to = s
	return nil
}

// signalOf reads a signal's name, with or without SIG, or number.
func signalOf(s string) (syscall.Signal, bool) {
	if n, err := strconv.Atoi(s); err == nil {
		return syscall.Signal(n), n > 0 && n <= 64
	}
	n := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG"))
	return n, n != 0
}

// exitSet is a set of exit codes and signals.
type exitSet struct {
	codes   map[int]bool
	signals map[syscall.Signal]bool
}

var errExitSet = errors.New("not an exit status")

// exitNames are the names of exit codes in sysexits.h and the LSB.
var exitNames = map[string]int{
	"SUCCESS": 0, "FAILURE": 1, "INVALIDARGUMENT": 2, "NOTIMPLEMENTED": 3, "NOPERMISSION": 4, "NOTINSTALLED": 5,
	"NOTCONFIGURED": 6, "NOTRUNNING": 7, "USAGE": 64, "DATAERR": 65, "NOINPUT": 66, "NOUSER": 67, "NOHOST": 68,
	"UNAVAILABLE": 69, "SOFTWARE": 70, "OSERR": 71, "OSFILE": 72, "CANTCREAT": 73, "IOERR": 74, "TEMPFAIL": 75,
	"PROTOCOL": 76, "NOPERM": 77, "CONFIG": 78,
}

// add takes the value of an option; an empty one empties the set.
func (e *exitSet) add(value string) error {
	words := strings.Fields(value)
	if len(words) == 0 || e.codes == nil {
		e.codes, e.signals = map[int]bool{}, map[syscall.Signal]bool{}
	}
	for _, w := range words {
		if n, err := strconv.Atoi(w); err == nil && n >= 0 && n <= 255 {
			e.codes[n] = true
		} else if n, ok := exitNames[w]; ok {
			e.codes[n] = true
		} else if s, ok := signalOf(w); ok && err != nil {
			e.signals[s] = true
		} else {
			return fmt.Errorf("%q: %w: write a number up to 255, or a signal like SIGKILL", w, errExitSet)
		}
	}
	return nil
}

func (e exitSet) has(x exit) bool {
	if !x.Known {
		return false
	}
	if x.Signal != 0 {
		return e.signals[x.Signal]
	}
	return e.codes[x.Code]
}
