// Package keys is the one table of what the keys do. Help, footer, palette
// and the README's section are made from it.
package keys

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	tea "github.com/charmbracelet/bubbletea"
)

// Action is something a key does.
type Action string

// Place is a set of screens a key works on.
type Place uint16

// Places.
const (
	Overview Place = 1 << iota
	Units
	Machines
	Timeline
	Detail
	Logs
	Connectivity
	Report
	Help

	Lists   = Overview | Units | Machines | Timeline | Help | Detail | Logs | Connectivity | Report // everything that scrolls
	OnUnits = Overview | Units | Detail | Logs                                                      // where a unit is at hand
	OnHosts = Overview | Machines                                                                   // where a machine is
	InPast  = Overview | Units | Machines | Timeline | Detail | Help                                // what has a past, and help on it
	All     = Lists
)

// Binding is a line of the table.
type Binding struct {
	Action  Action
	Keys    []string // by default
	Place   Place
	Word    string // for the footer
	Help    string // a sentence, without its full stop
	Group   string
	Acts    bool // changes the cluster: not there when only reading
	Demo    bool // only where machines can be powered off
	Footer  int  // the lower, the sooner it is shown there; 0 for not at all
	Command bool // can be given on the command line
}

// Actions.
const (
	Start   Action = "start"
	Stop    Action = "stop"
	Restart Action = "restart"
	Load    Action = "load"
	Unload  Action = "unload"
	Destroy Action = "destroy"
	New     Action = "new"
	Edit    Action = "edit"
	ShowLog Action = "logs"

	Cordon   Action = "cordon"
	Drain    Action = "drain"
	Drill    Action = "drill"
	PowerOff Action = "power-off"
	PowerOn  Action = "power-on"

	Mark    Action = "mark"
	MarkAll Action = "mark-all"
	Enter   Action = "open"
	Back    Action = "back"
	Filter  Action = "filter"
	Fuzzy   Action = "fuzzy"
	Palette Action = "command"
	Copy    Action = "copy"
	Undo    Action = "undo"
	Quit    Action = "quit"
	Suspend Action = "suspend"
	Redraw  Action = "redraw"

	NextScreen Action = "next-screen"
	PrevScreen Action = "previous-screen"
	GoOverview Action = "overview"
	GoUnits    Action = "units"
	GoMachines Action = "machines"
	GoTimeline Action = "timeline"
	GoLogs     Action = "log-screen"
	GoHelp     Action = "help-screen"
	GoReach    Action = "connectivity"
	ShowHelp   Action = "help"

	Down     Action = "down"
	Up       Action = "up"
	Top      Action = "top"
	Bottom   Action = "bottom"
	HalfDown Action = "half-down"
	HalfUp   Action = "half-up"
	PageDown Action = "page-down"
	PageUp   Action = "page-up"
	Left     Action = "left"
	Right    Action = "right"

	SortNext Action = "sort-next"
	SortPrev Action = "sort-previous"
	Reverse  Action = "reverse"
	Group    Action = "group"

	SortName     Action = "sort-name"
	SortState    Action = "sort-state"
	SortMachine  Action = "sort-machine"
	SortAge      Action = "sort-age"
	SortRestarts Action = "sort-restarts"
	SortCPU      Action = "sort-cpu"
	SortMemory   Action = "sort-memory"
	SortCount    Action = "sort-units"

	Then        Action = "then"
	StepBack    Action = "step-back"
	StepForward Action = "step-forward"
	Play        Action = "play"

	Mouse Action = "mouse"
	Shell Action = "shell"
	Panel Action = "panel"

	Pause      Action = "pause"
	Wrap       Action = "wrap"
	Stamps     Action = "timestamps"
	Search     Action = "search"
	SearchNext Action = "search-next"
	SearchPrev Action = "search-previous"
	NextError  Action = "next-error"
	PrevError  Action = "previous-error"
	Save       Action = "save"
	Errors     Action = "errors"      // of units
	OnlyErrors Action = "only-errors" // of a log
	Histogram  Action = "histogram"
)

// Table returns all bindings, in the order they are shown.
func Table() []Binding {
	return []Binding{
		{Start, []string{"s"}, OnUnits, "start", "start the unit", "Units", true, false, 2, true},
		{Stop, []string{"x"}, OnUnits, "stop", "stop the unit; it stays loaded on its machine", "Units", true, false, 3, true},
		{Restart, []string{"r"}, OnUnits, "restart", "stop and start the unit where it is", "Units", true, false, 4, true},
		{ShowLog, []string{"l"}, OnUnits &^ Logs, "logs", "show the unit's log, or that of all marked", "Units", false, false, 5, true},
		{Errors, []string{"E"}, OnUnits &^ Logs, "errors", "show the unit's errors of the last hour, or those of all marked, or of all that the filter leaves", "Units", false, false, 10, true},
		{Load, []string{"L"}, OnUnits, "load", "give the unit to a machine without starting it", "Units", true, false, 0, true},
		{Unload, []string{"u"}, OnUnits, "unload", "stop the unit and take it from its machine", "Units", true, false, 0, true},
		{Destroy, []string{"D"}, OnUnits, "destroy", "stop the unit and forget it", "Units", true, false, 8, true},
		{New, []string{"n"}, Overview | Units, "new", "submit a file", "Units", true, false, 12, true},
		{Edit, []string{"e"}, OnUnits &^ Logs, "edit", "edit the unit's file in $EDITOR; what changed is shown before it is applied", "Units", true, false, 7, true},
		{Shell, []string{"!"}, OnUnits | Machines, "shell", "open a shell on the unit's machine, or the machine (fleettop ssh)", "Units", true, false, 0, true},
		{Mark, []string{" "}, Units | Machines, "mark",
			"mark or unmark the row; what is done is done to all marked that are shown", "Units", false, false, 9,
			false},
		{MarkAll, []string{"*"}, Units | Machines, "mark all", "mark all rows shown, or none", "Units", false, false, 0, false},

		{Cordon, []string{"c"}, OnHosts, "cordon", "cordon the machine: it keeps its units and takes no more; again to undo", "Machines", true, false, 5, true},
		{Drain, []string{"d"}, OnHosts, "drain", "drain the machine: its units move away; again to undo", "Machines", true, false, 6, true},
		{Drill, []string{"X"}, OnHosts, "drill",
			"drill: take the machine out for 10 s as a loss of its power would; says first what that does, and asks", "Machines", true, false, 7, true},
		{PowerOff, []string{"K"}, OnHosts, "power off", "take the machine's power away (demo)", "Machines", true, true, 1, true},
		{PowerOn, []string{"B"}, OnHosts, "power on", "switch the machine on again (demo)", "Machines", true, true, 1, true},

		{Enter, []string{"enter"}, Overview | Units | Machines | Timeline, "open", "look closer: a machine's units, a unit's detail, a failover's phases", "Looking", false, false, 1, false},
		{Back, []string{"esc"}, All, "back", "go back, take back marks and filter", "Looking", false, false, 0, false},
		{Undo, []string{"z"}, All, "undo",
			"undo what was done last, for 5 seconds; restart and destroy can't be undone",
			"Looking", false, false, 0, true},
		{Filter, []string{"/"}, All &^ Help &^ Detail &^ Logs &^ Connectivity &^ Report, "filter", "filter: word, ~fuzzy, !not, key=value", "Looking", false, false, 6, false},
		{Fuzzy, []string{"~"}, All &^ Help &^ Detail &^ Logs &^ Connectivity &^ Report, "fuzzy", "filter by letters in that order", "Looking", false, false, 0, false},
		{SortNext, []string{">"}, Units | Machines, "sort", "sort by the next column", "Looking", false, false, 10, false},
		{SortPrev, []string{"<"}, Units | Machines, "sort", "sort by the column before", "Looking", false, false, 0, false},
		{SortName, []string{"N"}, Units | Machines, "by name", "sort by name; each sort key again turns the order around", "Looking", false, false, 0, false},
		{SortState, []string{"S"}, Units | Machines, "by state", "sort by state, what is in trouble first", "Looking", false, false, 0, false},
		{SortMachine, []string{"O"}, Units, "by machine", "sort by machine", "Looking", false, false, 0, false},
		{SortAge, []string{"A"}, Units | Machines, "by age", "sort by how long it is so, the shortest first", "Looking", false, false, 0, false},
		{SortRestarts, []string{"R"}, Units, "by restarts", "sort by restarts, the most first", "Looking", false, false, 0, false},
		{SortCPU, []string{"C"}, Units | Machines, "by CPU", "sort by CPU, the most first", "Looking", false, false, 0, false},
		{SortMemory, []string{"M"}, Units | Machines, "by memory", "sort by memory, the most first", "Looking", false, false, 0, false},
		{SortCount, []string{"U"}, Machines, "by units", "sort by how many units there are, the most first", "Looking", false, false, 0, false},
		{Reverse, []string{"i"}, Units | Machines, "reverse", "turn the order around", "Looking", false, false, 0, false},
		{Group, []string{"t"}, Units, "group", "group by machine, by template, or not at all", "Looking", false, false, 11, true},
		{Panel, []string{"p"}, Units | Detail, "panel", "show the unit's log below the list, or hide it", "Looking", false, false, 0, true},
		{Copy, []string{"y"}, All &^ Help, "copy",
			"send the name, or the line, to the clipboard (OSC 52; through tmux and screen, too)", "Looking", false,
			false, 0, false},

		{Pause, []string{" "}, Logs, "pause", "pause or follow; nothing is lost meanwhile", "Logs", false, false, 1, false},
		{Wrap, []string{"w"}, Logs, "wrap", "break long lines, or cut them", "Logs", false, false, 6, false},
		{Stamps, []string{"t"}, Logs, "times", "show times, dates with them, or none", "Logs", false, false, 7, false},
		{Search, []string{"/"}, Logs, "search", "search; n and N go on", "Logs", false, false, 2, false},
		{SearchNext, []string{"n"}, Logs, "next", "go to the next line found", "Logs", false, false, 0, false},
		{SearchPrev, []string{"N"}, Logs, "previous", "go to the line found before", "Logs", false, false, 0, false},
		{"log-filter", []string{"f"}, Logs, "filter", "show only lines that match: word, ~fuzzy, !not, unit=, machine=, priority=", "Logs", false, false, 3, false},
		{NextError, []string{"]"}, Logs, "next error", "go to the next error", "Logs", false, false, 4, false},
		{PrevError, []string{"["}, Logs, "previous error", "go to the error before", "Logs", false, false, 0, false},
		{OnlyErrors, []string{"E"}, Logs, "only errors", "show only errors, or all lines", "Logs", false, false, 5, false},
		{Histogram, []string{"h"}, Logs, "histogram", "show how many lines there are over time, with errors red and warnings in their colour, or hide it", "Logs", false, false, 9, false},
		{Save, []string{"S"}, Logs, "save",
			"save what is shown to a file; `:save --raw FILE` with control characters", "Logs", false, false, 8, false},

		{Down, []string{"j", "down"}, All, "down", "down", "Moving", false, false, 0, false},
		{Up, []string{"k", "up"}, All, "up", "up", "Moving", false, false, 0, false},
		{Left, []string{"left", "h"}, Overview | Timeline | Connectivity, "left", "left, where there is one", "Moving", false, false, 0, false},
		{Right, []string{"right"}, Overview | Timeline | Connectivity, "right", "right, where there is one", "Moving", false, false, 0, false},
		{Top, []string{"g", "home"}, All, "top", "to the top", "Moving", false, false, 0, false},
		{Bottom, []string{"G", "end"}, All, "bottom", "to the bottom; in a log that is behind, on to now", "Moving", false, false, 1, false},
		{HalfDown, []string{"ctrl+d"}, All, "half down", "half a page down", "Moving", false, false, 0, false},
		{HalfUp, []string{"ctrl+u"}, All, "half up", "half a page up", "Moving", false, false, 0, false},
		{PageDown, []string{"pgdown", "ctrl+f"}, All, "page down", "a page down", "Moving", false, false, 0, false},
		{PageUp, []string{"pgup", "ctrl+b"}, All, "page up", "a page up", "Moving", false, false, 0, false},

		{GoOverview, []string{"1"}, All, "overview", "the overview", "Screens", false, false, 0, true},
		{GoUnits, []string{"2"}, All, "units", "the units", "Screens", false, false, 0, true},
		{GoMachines, []string{"3"}, All, "machines", "the machines", "Screens", false, false, 0, true},
		{GoTimeline, []string{"4"}, All, "timeline", "the timeline", "Screens", false, false, 0, true},
		{GoLogs, []string{"5"}, All, "logs", "the logs", "Screens", false, false, 0, false},
		{GoHelp, []string{"6"}, All, "help", "the help", "Screens", false, false, 0, false},
		{GoReach, []string{"w"}, Overview | Machines | Timeline, "who reaches whom",
			"which machine reaches which: by gossip, probe, store and API", "Screens", false, false, 9, true},
		{NextScreen, []string{"tab"}, All, "next screen", "the next screen", "Screens", false, false, 0, false},
		{PrevScreen, []string{"shift+tab"}, All, "previous screen", "the screen before", "Screens", false, false, 0, false},
		{Palette, []string{":"}, All, "command", "the command line, with completion", "Screens", false, false, 14, false},
		{ShowHelp, []string{"?"}, All, "help", "this help", "Screens", false, false, 13, true},
		{Mouse, []string{"m"}, All, "mouse", "let the mouse scroll and click here, or leave it to the terminal", "Screens", false, false, 0, true},
		{Redraw, []string{"ctrl+l"}, All, "redraw", "draw the screen anew", "Screens", false, false, 0, false},
		{Suspend, []string{"ctrl+z"}, All, "suspend", "suspend; fg comes back", "Screens", false, false, 0, false},
		{Quit, []string{"q", "ctrl+c"}, All, "quit", "quit", "Screens", false, false, 15, true},

		{Then, []string{"t"}, Overview | Machines | Timeline, "then",
			"show the cluster as it was at this event, or when the last happened to what is under the cursor; `:past 10:30`", "Past", false, false, 8, true},
		{StepBack, []string{"["}, InPast, "event before", "go to the event before: into the past, and further back", "Past", false, false, 0, true},
		{StepForward, []string{"]"}, InPast, "event after", "go to the event after; after the last one is now, as with esc", "Past", false, false, 0, true},
		{Play, []string{"P"}, InPast, "play", "play the past on: as fast as it happened, 4 times, 16 times, stop", "Past", false, false, 0, true},
	}
}

// FilterLog filters a log.
const FilterLog Action = "log-filter"

// Map is the table with the keys a person chose. It is read-only.
type Map struct {
	table []Binding
	byKey map[Place]map[string]Action
}

// NewMap makes a Map: remap gives keys by action, readOnly leaves out what
// changes the cluster, and demo puts in what powers machines. What of remap
// can't be followed is left as it is by default; the warnings say so.
func NewMap(remap map[string][]string, readOnly, demo bool) (m *Map, warnings []string) {
	table := Table()
	for _, name := range slices.Sorted(maps.Keys(remap)) {
		i := slices.IndexFunc(table, func(b Binding) bool { return string(b.Action) == name })
		if i < 0 {
			warnings = append(warnings, fmt.Sprintf("keys: there is no action %q: the help, ?, lists them", name))
			continue
		}
		var chosen []string
		for _, k := range remap[name] {
			if k == "space" {
				k = " "
			}
			if !known(k) {
				warnings = append(warnings,
					fmt.Sprintf("keys: %s can't be on %q, as no key is called so: "+
						"a letter, or one like f8, ctrl+x, alt+x, pgdown, space", name, k))
				continue
			}
			chosen = append(chosen, k)
		}
		if len(chosen) == 0 && len(remap[name]) > 0 {
			continue // not without any key because of a typo
		}
		was := table[i].Keys
		table[i].Keys = chosen
		if err := Overlaps(table); err != nil {
			warnings = append(warnings, err.Error())
			table[i].Keys = was
		}
	}
	table = slices.DeleteFunc(table, func(b Binding) bool { return b.Acts && readOnly || b.Demo && !demo })
	m = &Map{table: table, byKey: map[Place]map[string]Action{}}
	for p := Overview; p <= Help; p <<= 1 {
		m.byKey[p] = map[string]Action{}
		for _, b := range table {
			if b.Place&p != 0 {
				for _, k := range b.Keys {
					m.byKey[p][k] = b.Action
				}
			}
		}
	}
	return m, warnings
}

// named are the keys that have names, without alt.
var named = func() map[string]bool {
	names := map[string]bool{" ": true}
	for t := tea.KeyF20; t <= tea.KeyType(127); t++ {
		if name := t.String(); name != "" && t != tea.KeyRunes {
			names[name] = true
		}
	}
	return names
}()

// known reports whether a key is called so.
func known(key string) bool {
	key = strings.TrimPrefix(key, "alt+")
	return utf8.RuneCountInString(key) == 1 || named[key]
}

// Overlaps tells of keys that would do two things in one place.
func Overlaps(table []Binding) error {
	for i, a := range table {
		for _, b := range table[i+1:] {
			if a.Place&b.Place == 0 {
				continue
			}
			for _, k := range a.Keys {
				if slices.Contains(b.Keys, k) {
					return fmt.Errorf("keys: %s is for %s and for %s at once: give one of them another key", Show(k), a.Action, b.Action)
				}
			}
		}
	}
	return nil
}

// Action is what a key does in a place; empty for nothing.
func (m *Map) Action(p Place, key string) Action { return m.byKey[p][key] }

// Key is the key of an action, as people write it; empty if it has none.
func (m *Map) Key(a Action) string {
	for _, b := range m.table {
		if b.Action == a && len(b.Keys) > 0 {
			return Show(b.Keys[0])
		}
	}
	return ""
}

// Table are the bindings there are.
func (m *Map) Table() []Binding { return m.table }

// Hint is a key, its word, and what it does, for the footer.
type Hint struct {
	Key, Word string
	Action    Action
}

// Hints are what the footer shows in a place, the most useful first.
func (m *Map) Hints(p Place) []Hint {
	var list []Binding
	for _, b := range m.table {
		if b.Place&p != 0 && b.Footer > 0 && len(b.Keys) > 0 {
			list = append(list, b)
		}
	}
	slices.SortStableFunc(list, func(a, b Binding) int { return a.Footer - b.Footer })
	hints := make([]Hint, len(list))
	for i, b := range list {
		hints[i] = Hint{Show(b.Keys[0]), b.Word, b.Action}
	}
	return hints
}

// Commands are the words of the command line that stand for an action.
func (m *Map) Commands() []Binding {
	return slices.DeleteFunc(slices.Clone(m.table), func(b Binding) bool { return !b.Command })
}

// Show is a key as people write it.
func Show(key string) string {
	if key == " " {
		return "space"
	}
	return strings.ReplaceAll(key, "ctrl+", "ctrl-")
}
