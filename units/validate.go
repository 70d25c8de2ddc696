package units

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"
)

// Validate refuses a unit that would fail on every machine: one of a type that
// can't be run, with invalid [X-Fleet] options, or with a file that systemd
// wouldn't load. It accepts settings that systemd only warns about, except a
// misspelt Type= or Restart=. The error is a *FileError if the file is at fault.
func Validate(n Name, f *File) error {
	if _, ok := slices.BinarySearch(runnableTypes, n.Type()); !ok {
		return fmt.Errorf("%s is a %s unit, and only %s units can be run: "+
			"make it one of these, or install it on the machines themselves",
			n, n.Type(), andList(runnableTypes))
	}
	if len(n.String()) > MaxNameLength {
		return fmt.Errorf("the name %q… is %d bytes long: shorten it to at most %d, so that files can be named after it",
			cut(n.String(), 24), len(n.String()), MaxNameLength)
	}
	for _, s := range f.sections {
		if almostFleet(s.name) {
			return fileErrorf(s.line, "[%s] would be ignored: write it as [%s]", s.name, fleetSection)
		}
	}
	req, err := f.Requirements(n)
	if err != nil {
		return err
	}
	if err := f.checkSpecifiers(); err != nil {
		return err
	}
	if rerun, _ := f.last(fleetSection, "Rerun"); req.Rerun && !f.RunsOnce(n) {
		return fileErrorf(rerun.Line, "Rerun= is for a service that runs once and ends (Type=oneshot without "+
			"RemainAfterExit=yes): "+
			"any other runs again wherever it moves; remove the line")
	}
	if exclusive, _ := f.last(fleetSection, optExclusive); req.Exclusive && n.Type() != "service" {
		return fileErrorf(exclusive.Line, "Exclusive= is for services, and %s is none: "+
			"write it into the service that it starts", n)
	}
	switch n.Type() {
	case "service":
		return validateService(n, f)
	case "socket":
		return validateSocket(n, f)
	case "timer":
		return validateTimer(n, f)
	case "path":
		return validatePath(n, f)
	case "mount":
		return validateMount(n, f)
	case "automount":
		return f.checkWhere(n, "Automount")
	}
	return nil
}

// almostFleet reports whether a section's name is a misspelling of X-Fleet.
// systemd reports nothing about sections that begin with X-.
func almostFleet(section string) bool {
	if section == fleetSection {
		return false
	}
	letters := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t-_", r) {
			return -1
		}
		return r
	}, strings.ToLower(section))
	return letters == "xfleet" || letters == "fleet"
}

var listenOptions = []string{
	"ListenDatagram", "ListenFIFO", "ListenMessageQueue", "ListenNetlink",
	"ListenSequentialPacket", "ListenSpecial", "ListenStream", "ListenUSBFunction",
}

func validateSocket(n Name, f *File) error {
	if err := f.needSection(n, "Socket", "ListenStream="); err != nil {
		return err
	}
	listens := f.settings("Socket", listenOptions...)
	if len(listens) == 0 {
		return fileErrorf(f.line("Socket"), "the socket listens to nothing: "+
			"add ListenStream=, ListenDatagram=, ListenFIFO= or another Listen setting")
	}
	accept, has := f.last("Socket", "Accept")
	if yes, _ := parseBool(accept.Value); !has || !yes {
		return nil
	}
	for _, l := range listens {
		if l.Name != "ListenStream" && l.Name != "ListenSequentialPacket" {
			return fileErrorf(l.Line, "%s can't accept connections, which Accept=yes (line %d) asks for: "+
				"remove one of the two", l.Name, accept.Line)
		}
	}
	if s, ok := f.last("Socket", "Service"); ok {
		return fileErrorf(s.Line, "Service can't be chosen with Accept=yes (line %d), which starts %s@….service "+
			"for each connection: remove one of the two",
			accept.Line, n.Prefix())
	}
	return nil
}

var timerOptions = []string{
	"OnActiveSec", "OnBootSec", "OnCalendar", "OnStartupSec", "OnUnitActiveSec", "OnUnitInactiveSec",
}

func validateTimer(n Name, f *File) error {
	if err := f.needSection(n, "Timer", "OnCalendar="); err != nil {
		return err
	}
	if len(f.settings("Timer", timerOptions...)) > 0 {
		return nil
	}
	for _, name := range []string{"OnClockChange", "OnTimezoneChange"} {
		o, _ := f.last("Timer", name)
		if yes, _ := parseBool(o.Value); yes {
			return nil
		}
	}
	return fileErrorf(f.line("Timer"), "the timer never elapses: "+
		"add OnCalendar=, OnBootSec=, OnUnitActiveSec= or another On setting")
}

var pathOptions = []string{
	"DirectoryNotEmpty", "PathChanged", "PathExists", "PathExistsGlob", "PathModified",
}

func validatePath(n Name, f *File) error {
	if err := f.needSection(n, "Path", "PathExists="); err != nil {
		return err
	}
	watched := f.settings("Path", pathOptions...)
	if len(watched) == 0 {
		return fileErrorf(f.line("Path"), "the path unit watches nothing: "+
			"add PathExists=, PathChanged=, DirectoryNotEmpty= or another path setting")
	}
	absolute := func(o Option) bool { return o.Value[0] == '/' || o.Value[0] == '%' }
	if !slices.ContainsFunc(watched, absolute) {
		return fileErrorf(watched[0].Line, "%s=%s is no absolute path, and the unit watches nothing else: "+
			"begin it with a slash",
			watched[0].Name, watched[0].Value)
	}
	return nil
}

func validateMount(n Name, f *File) error {
	if err := f.needSection(n, "Mount", "What="); err != nil {
		return err
	}
	if len(f.settings("Mount", "What")) == 0 {
		return fileErrorf(f.line("Mount"), "the mount unit mounts nothing: add What=")
	}
	return f.checkWhere(n, "Mount")
}

// checkWhere refuses a Where= that doesn't match the unit's name.
func (f *File) checkWhere(n Name, section string) error {
	where, ok := f.last(section, "Where")
	if !ok || where.Value[0] != '/' || strings.Contains(where.Value, "%") {
		return nil
	}
	if name := unit.UnitNamePathEscape(path.Clean(where.Value)) + "." + n.Type(); name != n.String() {
		return fileErrorf(where.Line, "Where=%s belongs to %s, and the unit is named %s: "+
			"rename one of the two", where.Value, name, n)
	}
	return nil
}

// needSection refuses a file without a unit type's own section.
func (f *File) needSection(n Name, section, example string) error {
	if f.line(section) > 0 {
		return nil
	}
	for _, s := range f.sections {
		kind := strings.ToLower(s.name)
		switch {
		case kind == strings.ToLower(section):
			return fileErrorf(s.line, "[%s] would be ignored: write it as [%s]", s.name, section)
		case slices.Contains(runnableTypes, kind):
			return fileErrorf(s.line, "%s needs a [%s] section and has a [%s] one: name it %s.%s, or add [%s] with %s",
				n, section, s.name, n.Base(), kind, section, example)
		}
	}
	return fileErrorf(0, "%s needs a [%s] section: add one with %s", n, section, example)
}

// settings returns the values of options that add up, in order. As in systemd,
// an empty value cancels all values before it, of any of the names.
func (f *File) settings(section string, names ...string) []Option {
	var list []Option
	for _, o := range f.options {
		if o.Section != section || !slices.Contains(names, o.Name) {
			continue
		}
		if o.Value == "" {
			list = list[:0]
			continue
		}
		list = append(list, o)
	}
	return list
}

// last returns the last value of an option that isn't empty.
func (f *File) last(section, name string) (Option, bool) {
	for _, o := range slices.Backward(f.options) {
		if o.Section == section && o.Name == name && o.Value != "" {
			return o, true
		}
	}
	return Option{}, false
}
