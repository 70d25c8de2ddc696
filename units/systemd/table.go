package systemd

import (
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"fleettop/units"
)

// table is what is known of the units held.
type table struct {
	byName map[string]*unit
	byPath map[dbus.ObjectPath]*unit
}

func newTable() table {
	return table{byName: map[string]*unit{}, byPath: map[dbus.ObjectPath]*unit{}}
}

// add returns the unit of a file, new or with its new file.
func (t table) add(f heldFile) *unit {
	u := t.byName[f.name]
	if u == nil {
		u = &unit{name: f.name, path: unitPath(f.name), hash: f.hash,
			load: "loaded", active: "inactive", sub: "dead", result: "success"}
		t.byName[u.name], t.byPath[u.path] = u, u
	}
	u.file = f
	return u
}

func (t table) remove(name string) {
	if u := t.byName[name]; u != nil {
		delete(t.byName, u.name)
		delete(t.byPath, u.path)
	}
}

// forget makes every answer of a new connection count as newer than what the
// connection before said.
func (t table) forget() {
	for _, u := range t.byName {
		u.seq, u.loadSeq, u.special = 0, 0, nil
	}
}

func unitPath(name string) dbus.ObjectPath {
	return unitsPath + "/" + dbus.ObjectPath(sd.PathBusEscape(name))
}

// unit is one unit held, as systemd last described it.
type unit struct {
	name    string
	path    dbus.ObjectPath
	file    heldFile // on disk
	hash    string   // of the file systemd has read
	visible bool     // its load is complete
	unread  bool     // systemd was not told of its file, and is to be asked after a start
	listed  bool     // systemd has said something of it since it was last asked

	load, active, sub, result string
	times                     map[string]uint64 // systemd's ...Timestamp properties in microseconds
	pid, restarts             int
	exitCode, exitStatus      int // of the main process: how it ended (CLD_...), and its status or signal

	conditionsMet bool // when systemd last tested its Condition…= settings
	// refused is when a start was refused before systemd heard of it; zero once
	// there was another one. Systemd itself goes on calling the unit inactive.
	refused time.Time
	// hand is what was done to the unit last, if that was done by hand, and handAt when.
	hand   units.Hand
	handAt time.Time
	// altered says by which files of the host it is other than its own file says.
	altered string

	seq     dbus.Sequence           // of the last signal: an answer sent before it is stale
	loadSeq dbus.Sequence           // of the last list its load state is from
	special map[string]dbus.Variant // properties of the unit's type that await the rest
}

// timestamps are the properties Since is drawn from, by active state.
var timestamps = map[string]string{
	"active": "ActiveEnterTimestamp", "reloading": "ActiveEnterTimestamp", "refreshing": "ActiveEnterTimestamp",
	"inactive": "InactiveEnterTimestamp", "failed": "InactiveEnterTimestamp",
	"activating": "InactiveExitTimestamp", "deactivating": "ActiveExitTimestamp", "maintenance": "StateChangeTimestamp",
}

// status is what the manager reports of the unit.
func (u *unit) status() units.Status {
	s := units.Status{Name: u.name, Hash: u.hash, Load: u.load, Active: u.active, Sub: u.sub,
		Result: u.result, Since: u.since(), PID: u.pid, Exit: u.unitResult().exit(), Restarts: u.restarts,
		ByHand: u.hand, HandAt: u.handAt, Altered: u.altered}
	if s.Load == "not-found" {
		s.Load = "error" // it is held; the other is said of units that are not
	}
	switch {
	case !u.refused.IsZero():
		s.Active, s.Sub, s.Result, s.Since = "failed", "failed", resultRefused, u.refused
	case u.active == "inactive" && u.times["ConditionTimestamp"] != 0 && !u.conditionsMet:
		s.Result = units.ResultCondition
	}
	return s
}

// setActive takes over systemd's active state.
func (u *unit) setActive(state string) {
	if u.active = state; !u.ended() {
		u.refused = time.Time{}
	}
	if !u.hand.Stands(units.Status{Active: u.active}) {
		u.hand, u.handAt = "", time.Time{}
	}
}

// ended reports whether nothing of the unit runs.
func (u *unit) ended() bool { return u.active == "inactive" || u.active == "failed" }

// setLoad takes over systemd's load state. A unit that systemd finds no file
// of has none, whatever was written: the next Load writes it again.
func (u *unit) setLoad(state string) {
	u.load = state
	if state == "not-found" {
		u.hash = ""
	}
}

// since is when the unit entered its active state. systemd forgets units that
// don't run: of one that never ran, it is when its file came.
func (u *unit) since() time.Time {
	usec := u.times[timestamps[u.active]]
	if usec == 0 {
		usec = u.times["StateChangeTimestamp"]
	}
	if usec == 0 {
		return u.file.written
	}
	return time.UnixMicro(int64(usec)).UTC()
}

func (u *unit) unitResult() unitResult {
	return unitResult{Result: u.result, ExitCode: u.exitCode, ExitStatus: u.exitStatus,
		Begun: u.times["InactiveExitTimestamp"]}
}

// changed takes a PropertiesChanged signal and reports whether the unit's
// description is complete again: systemd sends the properties of the type
// (Service, Socket, ...) right before those every unit has.
func (u *unit) changed(sig *dbus.Signal) bool {
	if len(sig.Body) < 2 {
		return false
	}
	iface, _ := sig.Body[0].(string)
	props, _ := sig.Body[1].(map[string]dbus.Variant)
	if iface != unitIface {
		u.special = props
		return false
	}
	u.set(u.special)
	u.set(props)
	u.special, u.seq = nil, sig.Sequence
	return true
}

// set takes properties over.
func (u *unit) set(props map[string]dbus.Variant) {
	for name, value := range props {
		u.setOne(name, value)
	}
}

func (u *unit) setOne(name string, value dbus.Variant) {
	switch v := value.Value().(type) {
	case string:
		switch name {
		case "LoadState":
			u.setLoad(v)
		case "ActiveState":
			u.setActive(v)
		case "SubState":
			u.sub = v
		case "Result":
			u.result = v
		}
	case bool:
		if name == "ConditionResult" {
			u.conditionsMet = v
		}
	case uint32:
		switch name {
		case "MainPID":
			u.pid = int(v)
		case "NRestarts":
			u.restarts = int(v)
		}
	case int32:
		switch name {
		case "ExecMainCode":
			u.exitCode = int(v)
		case "ExecMainStatus":
			u.exitStatus = int(v)
		}
	case uint64:
		if strings.HasSuffix(name, "EnterTimestamp") || strings.HasSuffix(name, "ExitTimestamp") ||
			name == "StateChangeTimestamp" || name == "ConditionTimestamp" {
			if u.times == nil {
				u.times = make(map[string]uint64, 5)
			}
			u.times[name] = v
		}
	}
}

// specialIface is the D-Bus interface of a unit's type, and the properties of
// it that a Status needs.
func specialIface(name string) (iface string, props []string) {
	kind := name[strings.LastIndexByte(name, '.')+1:]
	switch kind {
	case "service":
		props = []string{"Result", "MainPID", "NRestarts"}
	case "socket", "timer", "path", "mount", "automount", "swap", "scope":
		props = []string{"Result"}
	default:
		return "", nil
	}
	return "org.freedesktop.systemd1." + strings.ToUpper(kind[:1]) + kind[1:], props
}
