package units

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fleettop/units/timespan"
)

// fleetSection is the section that fleet reads and systemd ignores.
const fleetSection = "X-Fleet"

// Requirements are the requirements of a unit's [X-Fleet] section on its machine.
type Requirements struct {
	MachineID string              // the only machine it may run on, by its ID or the first digits of it; or ""
	MachineOf []string            // units it must be on one machine with
	Metadata  map[string][]string // for each key, the values of which a machine must have one; nil if there are none
	Conflicts []string            // patterns of units it must not be on one machine with; they may match itself
	Replaces  []string            // patterns of units that leave the machine when it comes
	Global    bool                // runs on every machine that fits
	Rerun     bool                // a finished oneshot runs again on the next machine
	// Reschedule says that it is tried on another machine when it has failed on one.
	Reschedule bool
	Exclusive  bool // never runs twice at once: it ends by its machine's fence before it starts elsewhere

	// StopWhenIsolated says that the unit is stopped where its machine has had no
	// answer of the store's quorum for IsolationTimeout.
	StopWhenIsolated bool
	IsolationTimeout time.Duration // DefaultIsolationTimeout if the file says nothing; 0 without StopWhenIsolated
}

// DefaultIsolationTimeout is how long a machine may be without the quorum before
// it stops units with OnIsolation=stop, and leastIsolationTimeout the shortest
// time that a file can ask for: a change of the store's leader takes a second or two.
const (
	DefaultIsolationTimeout = 30 * time.Second
	leastIsolationTimeout   = 5 * time.Second
)

// fleetOption is an option of [X-Fleet]: what a person reads of it, and the
// method that reads its values. flag is set for an option that is true or false,
// which counts as used when it is true.
type fleetOption struct {
	FleetOption
	read func(c *collector, values []string, old bool) error
	flag func(r *Requirements) *bool
}

// The options that other code names.
const (
	optMachineID  = "MachineID"
	optMachineOf  = "MachineOf"
	optConflicts  = "Conflicts"
	optReplaces   = "Replaces"
	optGlobal     = "Global"
	optExclusive  = "Exclusive"
	optReschedule = "Reschedule"
	optIsolation  = "OnIsolation"
	optTimeout    = "IsolationTimeoutSec"
)

// findFleetOption returns the option with a name, and whether that is its old name.
func findFleetOption(name string) (o fleetOption, old, known bool) {
	i := slices.IndexFunc(fleetOptions, func(o fleetOption) bool { return o.Name == name || o.Old == name })
	if i < 0 || name == "" {
		return fleetOption{}, false, false
	}
	return fleetOptions[i], fleetOptions[i].Old == name, true
}

// Requirements returns the requirements in the [X-Fleet] section of a unit named
// n, with specifiers expanded. In a template, %i stands for itself. The error is
// a *FileError, for options that are unknown, malformed or contradictory by
// fleet's rules.
//
// As in fleet, the first of several MachineID= counts, and a new name before an
// old one; the last of several options that have one value; all values of other options.
func (f *File) Requirements(n Name) (Requirements, error) {
	c := collector{self: standIn(n), lines: map[string]int{}}
	for _, o := range f.options {
		if o.Section != fleetSection {
			continue
		}
		if err := c.add(o); err != nil {
			return Requirements{}, err
		}
	}
	if c.req.MachineID == "" {
		c.req.MachineID = c.oldMachineID
	}
	if err := c.check(); err != nil {
		return Requirements{}, err
	}
	return c.req, nil
}

// collector collects the options of [X-Fleet].
type collector struct {
	self         Name
	req          Requirements
	oldMachineID string
	lines        map[string]int // where each option is used first, by its new name
}

func (c *collector) add(o Option) error {
	option, old, known := findFleetOption(o.Name)
	if !known {
		return unknownOption(o)
	}
	values, err := c.values(o)
	if err != nil {
		return fileErrorf(o.Line, "%s: %v", o.Name, err)
	}
	if option.flag != nil {
		err = c.flag(o, values, option)
	} else {
		err = option.read(c, values, old)
		if _, seen := c.lines[option.Name]; !seen && len(values) > 0 {
			c.lines[option.Name] = o.Line
		}
	}
	if err != nil {
		return fileErrorf(o.Line, "%s=%s: %v", o.Name, cut(o.Value, 80), err)
	}
	return nil
}

// values splits an option's value and expands its specifiers. Empty ones are left out.
func (c *collector) values(o Option) ([]string, error) {
	words, err := splitQuoted(o.Value)
	if err != nil {
		return nil, err
	}
	values := words[:0]
	for _, w := range words {
		v, err := expand(w, c.self)
		if err != nil {
			return nil, err
		}
		if v == "" && w != "" {
			return nil, fmt.Errorf("%s is empty for %s: use it in a template, or write the value", w, c.self)
		}
		if v != "" {
			values = append(values, v)
		}
	}
	return values, nil
}

// splitQuoted splits a line that begins with a double quote into its quoted
// values; any other line is one value, as in fleet.
func splitQuoted(line string) ([]string, error) {
	if strings.HasPrefix(line, "'") {
		return nil, errors.New("single quotes are not known in [X-Fleet]: use double quotes")
	}
	if !strings.HasPrefix(line, `"`) {
		if strings.HasSuffix(line, `"`) && strings.Count(line, `"`)%2 == 1 {
			return nil, errors.New("a double quote is missing: quote each value from its beginning to its end")
		}
		return []string{line}, nil
	}
	var values []string
	for line != "" {
		v, rest, ok := strings.Cut(line[1:], `"`)
		if !ok {
			return nil, errors.New("a double quote is missing: quote each value from its beginning to its end")
		}
		line = strings.TrimLeft(rest, " \t")
		if line != "" && (line[0] != '"' || len(line) == len(rest)) {
			return nil, fmt.Errorf("there is %q after a quoted value: "+
				"quote each value and put blanks between them", cut(line, 40))
		}
		values = append(values, v)
	}
	return values, nil
}

// flag reads an option that is true or false; the last of several counts.
func (c *collector) flag(o Option, values []string, option fleetOption) error {
	to := option.flag(&c.req)
	for _, v := range values {
		yes, ok := parseBool(v)
		if !ok {
			return errors.New("this is neither yes nor no: write true or false")
		}
		*to = yes
	}
	delete(c.lines, option.Name)
	if *to {
		c.lines[option.Name] = o.Line
	}
	return nil
}

// parseBool parses systemd's words for true and false, in any case.
func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "1", "yes", "y", "true", "t", "on":
		return true, true
	case "0", "no", "n", "false", "f", "off":
		return false, true
	}
	return false, false
}

func (c *collector) metadata(pairs []string, _ bool) error {
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		switch {
		case !ok:
			return fmt.Errorf("%q is no pair: write key=value", pair)
		case key == "":
			return fmt.Errorf("%q has no key: write key=value", pair)
		case value == "":
			return fmt.Errorf("%q has no value: write key=value", pair)
		case strings.Contains(value, "="):
			return fmt.Errorf("%q has more than one =: write key=value, and several pairs each in double quotes", pair)
		}
		if c.req.Metadata == nil {
			c.req.Metadata = map[string][]string{}
		}
		c.req.Metadata[key] = addNew(c.req.Metadata[key], value)
	}
	return nil
}

func (c *collector) machineID(values []string, old bool) error {
	if len(values) == 0 {
		return errors.New("no machine is named: give a machine ID, as list-machines --full shows it, or remove the line")
	}
	id := &c.req.MachineID
	if old {
		id = &c.oldMachineID
	}
	if *id == "" {
		*id = values[0]
	}
	if strings.ContainsAny(values[0], " \t") {
		return errors.New("a machine ID has no blanks in it: give one, as list-machines --full shows it")
	}
	return nil
}

func (c *collector) machineOf(values []string, _ bool) error {
	names := fields(values)
	if len(names) == 0 {
		return errors.New("no unit is named: give a unit's full name, or remove the line")
	}
	for _, name := range names {
		if name == c.self.String() {
			return errors.New("a unit is always on its own machine: name another unit, or remove the line")
		}
		if err := checkPeer(name, c.self); err != nil {
			return err
		}
		c.req.MachineOf = addNew(c.req.MachineOf, name)
	}
	return nil
}

func (c *collector) reschedule(values []string, _ bool) error {
	for _, v := range values {
		switch v {
		case "no", "on-failure":
			c.req.Reschedule = v == "on-failure"
		default:
			return errors.New("write on-failure or no")
		}
	}
	return nil
}

func (c *collector) onIsolation(values []string, _ bool) error {
	for _, v := range values {
		switch v {
		case "keep", "stop":
			c.req.StopWhenIsolated = v == "stop"
		default:
			return errors.New("write keep or stop")
		}
	}
	return nil
}

func (c *collector) isolationTimeout(values []string, _ bool) error {
	for _, v := range values {
		d, err := timespan.Parse(v)
		switch {
		case err != nil:
			return err
		case d == timespan.Infinity:
			return errors.New("a unit that is never stopped for this is one with OnIsolation=keep: write that, or a time")
		case d < leastIsolationTimeout:
			return fmt.Errorf("a change of the store's leader may take as long: give at least %s", leastIsolationTimeout)
		}
		c.req.IsolationTimeout = d
	}
	return nil
}

// checkPeer refuses a MachineOf= that can't be the name of a running unit.
func checkPeer(name string, self Name) error {
	if strings.Contains(self.Instance(), "%i") {
		name = strings.ReplaceAll(name, "%i", "i")
	}
	n, err := ParseName(name)
	if err != nil {
		return err
	}
	if n.IsTemplate() {
		return fmt.Errorf("%s is a template, which runs nowhere: name an instance of it", name)
	}
	return nil
}

func (c *collector) conflicts(values []string, _ bool) error {
	for _, pattern := range fields(values) { // a pattern that matches the unit itself is ignored for it
		if err := checkPattern(pattern); err != nil {
			return err
		}
		c.req.Conflicts = addNew(c.req.Conflicts, pattern)
	}
	return nil
}

func (c *collector) replaces(values []string, _ bool) error {
	patterns := fields(values)
	if len(patterns) == 0 {
		return errors.New("no unit is named: give a unit's full name or a pattern, or remove the line")
	}
	for _, pattern := range patterns {
		if err := checkPattern(pattern); err != nil {
			return err
		}
		if pattern == c.self.String() {
			return errors.New("this is the unit itself: name another unit, or remove the line")
		}
		c.req.Replaces = addNew(c.req.Replaces, pattern)
	}
	return nil
}

func checkPattern(pattern string) error {
	if !validGlob(pattern) {
		return fmt.Errorf("%q is no pattern: close its brackets, as in web@[1-3].service", pattern)
	}
	return nil
}

// fields splits values at blanks; unit names and patterns have none.
func fields(values []string) []string {
	var all []string
	for _, v := range values {
		all = append(all, strings.Fields(v)...)
	}
	return all
}

func addNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}
