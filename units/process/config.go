package process

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"fleettop/units"
	"fleettop/units/timespan"
)

// config is a unit file in a form that can be run. It is immutable.
type config struct {
	Target bool   // a target unit: it has no processes
	Type   string // simple, exec, oneshot, notify, forking
	Wants  []string

	StartPre, Start, StartPost, Stop, StopPost []command

	Environment      [][2]string
	EnvironmentFiles []environmentFile
	PassEnvironment  []string
	UnsetEnvironment []string
	WorkingDirectory string // empty for the default, "~" for the user's home
	DirectoryMissing bool   // the working directory may be missing
	User, Group      string
	UMask            int
	NoOutput         bool // StandardOutput=null
	NoErrors         bool // StandardError=null

	Restart         string
	RestartDelay    time.Duration
	LimitInterval   time.Duration
	LimitBurst      int
	StartTimeout    time.Duration
	StopTimeout     time.Duration
	Watchdog        time.Duration // 0 for none
	KillMode        string
	KillSignal      syscall.Signal
	FinalSignal     syscall.Signal
	SendSIGKILL     bool
	SendSIGHUP      bool
	RemainAfterExit bool
	PIDFile         string
	GuessMainPID    bool
	NotifyAccess    string // none, main, exec, all
	Success         exitSet
	RestartPrevent  exitSet
	RestartForce    exitSet
}

// defaultConfig has systemd's defaults.
func defaultConfig() *config {
	return &config{
		UMask: 0o022, Restart: "no", RestartDelay: 100 * time.Millisecond,
		LimitInterval: 10 * time.Second, LimitBurst: 5,
		StartTimeout: 90 * time.Second, StopTimeout: 90 * time.Second,
		KillMode: "control-group", KillSignal: syscall.SIGTERM, FinalSignal: syscall.SIGKILL, SendSIGKILL: true,
		GuessMainPID: true,
	}
}

// compiler turns the options of one file into a config.
type compiler struct {
	*config
	sp *specifiers

	errorsSet    bool
	startTimeSet bool
	first        map[string]int // the line of each option's first use
}

// compile reads a unit file. What it can't run is an error that says so, with the line.
func compile(name units.Name, f *units.File, h *host) (*config, error) {
	switch name.Type() {
	case "service", "target":
	default:
		return nil, fmt.Errorf("%s units need systemd: run it on a machine with systemd, or start the service itself",
			name.Type())
	}
	if name.IsTemplate() {
		return nil, fmt.Errorf("a template can't run by itself: load an instance of it, like %s@1.%s", name.Prefix(),
			name.Type())
	}
	c := &compiler{config: defaultConfig(), sp: &specifiers{name: name, host: h}, first: map[string]int{}}
	c.Target = name.Type() == "target"
	for _, o := range f.Options() {
		if err := c.option(o); err != nil {
			return nil, &units.FileError{Line: o.Line, Msg: o.Name + "=: " + err.Error()}
		}
		if _, ok := c.first[o.Name]; !ok {
			c.first[o.Name] = o.Line
		}
	}
	if c.Target {
		return c.config, nil
	}
	if at, err := c.finish(); err != nil {
		return nil, &units.FileError{Line: c.first[at], Msg: err.Error()}
	}
	return c.config, nil
}

func (c *compiler) option(o units.Option) error {
	if strings.HasPrefix(o.Section, "X-") || strings.HasPrefix(o.Name, "X-") {
		return nil // another program's
	}
	section := o.Section
	if section == "Service" && c.Target {
		return errors.New("a target has no [Service] section: remove it, or name the unit .service")
	}
	table, ok := sections[section]
	if !ok {
		return fmt.Errorf("the section [%s] needs systemd: remove it, or place the unit on a machine with systemd", section)
	}
	if set, ok := table[o.Name]; ok {
		return set(c, o)
	}
	if _, ok := withoutMeaning[section+"."+o.Name]; ok {
		return nil
	}
	return errors.New("this machine runs units as plain child processes, which can't do this: remove the line, or place the unit on a machine with systemd")
}

// finish checks what options say together, and fills in what depends on others.
// at is the option to be blamed.
func (c *compiler) finish() (at string, err error) {
	if c.Type == "" {
		c.Type = "simple"
		if len(c.Start) == 0 {
			c.Type = "oneshot"
		}
	}
	switch {
	case len(c.Start) == 0 && c.Type != "oneshot":
		return "Type", errors.New("there is nothing to run: add an ExecStart= line to [Service]")
	case len(c.Start) == 0 && (len(c.Stop) == 0 || !c.RemainAfterExit):
		return "Type", errors.New("there is nothing to run: add an ExecStart= line to [Service], or ExecStop= and RemainAfterExit=yes")
	case len(c.Start) > 1 && c.Type != "oneshot":
		return "ExecStart", fmt.Errorf("a service of Type=%s takes one ExecStart=, and there are %d: set Type=oneshot, or keep one", c.Type, len(c.Start))
	case c.Type == "oneshot" && (c.Restart == "always" || c.Restart == "on-success"):
		return "Restart", fmt.Errorf("with Type=oneshot, Restart=%s would never end: use Restart=on-failure", c.Restart)
	}
	if c.Type == "oneshot" && !c.startTimeSet {
		c.StartTimeout = timespan.Infinity
	}
	if c.NotifyAccess == "" {
		c.NotifyAccess = "none"
	}
	if c.NotifyAccess == "none" && (c.Type == "notify" || c.Watchdog > 0) {
		c.NotifyAccess = "main"
	}
	if !c.errorsSet {
		c.NoErrors = c.NoOutput
	}
	return "", nil
}

// active is systemd's active state for each sub state.
func activeOf(sub string) string {
	switch sub {
	case subDead:
		return "inactive"
	case subFailed:
		return "failed"
	case subStartPre, subStart, subStartPost, subAutoRestart:
		return "activating"
	case subRunning, subExited, subActive:
		return "active"
	default:
		return "deactivating"
	}
}

// The sub states of services and targets, in systemd's words.
const (
	subDead         = "dead"
	subFailed       = "failed"
	subStartPre     = "start-pre"
	subStart        = "start"
	subStartPost    = "start-post"
	subRunning      = "running"
	subExited       = "exited"
	subActive       = "active" // of a target
	subStop         = "stop"
	subStopWatchdog = "stop-watchdog"
	subStopSigterm  = "stop-sigterm"
	subStopSigkill  = "stop-sigkill"
	subStopPost     = "stop-post"
	subFinalSigterm = "final-sigterm"
	subFinalSigkill = "final-sigkill"
	subAutoRestart  = "auto-restart"
)

// Results of units, in systemd's words.
const (
	resultSuccess    = "success"
	resultExitCode   = "exit-code"
	resultSignal     = "signal"
	resultCoreDump   = "core-dump"
	resultTimeout    = "timeout"
	resultWatchdog   = "watchdog"
	resultProtocol   = "protocol"
	resultResources  = "resources"
	resultStartLimit = "start-limit-hit"
)
