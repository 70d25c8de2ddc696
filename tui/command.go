package tui

import (
	"maps"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/screens/logs"
	"fleettop/tui/screens/unitdetail"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
	"fleettop/units"
)

// What a command's words are.
type operand uint8

const (
	nothing operand = iota
	unitNames
	machineNames
	filePaths
	filterText
	places // machines or units
	clusterNames
	themeNames
	filterNames
	newName
	timeText
)

// commands are the words of the command line besides those of the keys.
var commands = map[string]operand{"uncordon": machineNames, "submit": filePaths, "open": unitNames,
	"filter": filterText, "q": nothing, "save": filePaths, "cluster": clusterNames, "theme": themeNames,
	"use": filterNames, "forget-filter": filterNames, "save-filter": newName,
	logs.SinceWord: timeText, logs.UntilWord: timeText, logs.GoToWord: timeText, "past": timeText}

// operands of a command; ok is false for a word that is none.
func (s *shell) operands(word string) (operand, bool) {
	if o, ok := commands[word]; ok {
		return o, ok && (word != "uncordon" && word != "submit" || !s.readOnly)
	}
	for _, b := range s.keys.Commands() {
		if string(b.Action) != word {
			continue
		}
		switch {
		case b.Action == keys.Shell:
			return places, true
		case b.Group == "Machines":
			return machineNames, true
		case b.Action == keys.New:
			return filePaths, true
		case b.Group == "Units":
			return unitNames, true
		}
		return nothing, true
	}
	return nothing, false
}

// openPalette opens the command line.
func (s *shell) openPalette(text string) {
	p := &prompt{Prompt: widgets.NewPrompt(":", text).WithHistory(s.history[":"]), list: true}
	p.Complete = s.completeCommand
	p.done = s.command
	s.prompt = p
}

func (s *shell) words() []string {
	var list []string
	for _, b := range s.keys.Commands() {
		list = append(list, string(b.Action))
	}
	for word := range commands {
		if _, ok := s.operands(word); ok {
			list = append(list, word)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (s *shell) completeCommand(text string) []string {
	word, rest, spaced := strings.Cut(text, " ")
	if !spaced {
		return matching("", word, s.words())
	}
	start := word + " "
	if i := strings.LastIndexByte(rest, ' '); i >= 0 {
		start, rest = start+rest[:i+1], rest[i+1:]
	}
	kind, _ := s.operands(word)
	var list []string
	switch kind {
	case unitNames, machineNames, places:
		for _, r := range s.snap.Rows {
			if kind != machineNames {
				list = append(list, r.Unit)
			}
		}
		for _, m := range s.snap.Machines {
			if kind != unitNames {
				list = append(list, m.Label)
			}
		}
	case clusterNames:
		list = s.clusterNames()
	case themeNames:
		if s.settings != nil {
			list = s.settings.Themes()
		}
	case filterNames:
		list = slices.Collect(maps.Keys(s.savedFilters()))
	case timeText:
		list = times
	case filePaths:
		if s.remote {
			break
		}
		list = append(list, completeFile(rest)...)
	}
	return matching(start, rest, list)
}

// command carries out a command line.
func (s *shell) command(text string) tea.Cmd {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return nil
	}
	word, args := fields[0], fields[1:]
	kind, ok := s.operands(word)
	if !ok {
		s.say(s.noCommand(word), true)
		return nil
	}
	if why := s.notPast(keys.Action(word)); why != "" {
		s.say(why, true)
		return nil
	}
	switch {
	case s.past != nil && kind == timeText && word != "past":
		s.say(s.notPast(keys.GoLogs), true)
		return nil
	case s.past != nil && (word == "submit" || word == "uncordon"):
		s.say("Nothing can be done in the past: "+s.keys.Key(keys.Back)+" goes back to now, to "+word+".", true)
		return nil
	case word == "past":
		return s.pastCommand(args)
	case word == "q":
		return s.quit()
	case word == "filter":
		if !s.top().Filters() {
			s.say("This screen has no filter.", true)
			return nil
		}
		s.filters[s.top()] = state.ParseQuery(strings.TrimPrefix(strings.TrimSpace(text), "filter"))
		return nil
	case word == "submit" || word == string(keys.New):
		return s.submit(args)
	case word == "save":
		return s.save(args)
	case word == "cluster":
		return s.switchCluster(args)
	case word == "theme":
		return s.chooseTheme(args)
	case word == "use":
		return s.useFilter(args)
	case word == "save-filter":
		return s.saveFilter(args)
	case word == "forget-filter":
		return s.forgetFilter(args)
	case kind == timeText:
		return s.bound(word, join(args, " "))
	}
	target, err := s.targets(kind, args)
	switch {
	case err != "":
		s.say(err, true)
		return nil
	case word == "open":
		if len(target.Units) == 0 {
			s.say("There is no unit under the cursor to open.", true)
			return nil
		}
		return s.open(unitdetail.New(target.Units[0]))
	case word == "uncordon":
		if len(target.Machines) == 0 {
			s.say("There is no machine under the cursor to uncordon.", true)
			return nil
		}
		return s.carryOut(order{schedule: "uncordon", machines: target.Machines})
	case kind == places:
		return s.login(target)
	case kind == nothing:
		return s.do(keys.Action(word))
	}
	if cmd, ok := s.act(keys.Action(word), target); ok {
		return cmd
	}
	return s.intend(s.top().Do(s.env(), keys.Action(word)))
}

// onlyReads says why a console that reads doesn't act, and how to.
func (s *shell) onlyReads(b keys.Binding) string {
	return "This console only reads: " + s.toAct + " to " + b.Word + "."
}

func (s *shell) noCommand(word string) string {
	for _, b := range keys.Table() {
		if string(b.Action) == word && b.Acts && s.readOnly {
			return s.onlyReads(b)
		}
	}
	if near := matching("", word[:1], s.words()); len(near) > 0 {
		return "There is no command " + word + ". With " + word[:1] + " begin: " + join(near, ", ") + "."
	}
	return "There is no command " + word + ". Press tab after : to see those there are."
}

// targets are what the words of a command name, or what is under the cursor
// where there are none. Units may be globs.
func (s *shell) targets(kind operand, args []string) (screens.Target, string) {
	if len(args) == 0 {
		return s.top().Target(s.env()), ""
	}
	var t screens.Target
	named := map[string]bool{}
	for _, arg := range args {
		found, kind := false, kind
		if kind == places { // a machine's name comes first
			kind = unitNames
			if slices.ContainsFunc(s.snap.Machines, func(m *state.Machine) bool { return m.Label == arg }) {
				kind = machineNames
			}
		}
		switch kind {
		case unitNames:
			for _, r := range s.snap.Rows {
				if r.Unit != arg && r.Unit != arg+".service" && !units.MatchGlob(arg, r.Unit) {
					continue
				}
				found = true
				if !named[r.Unit] {
					named[r.Unit] = true
					t.Units = append(t.Units, r.Unit)
				}
			}
		case machineNames:
			for _, m := range s.snap.Machines {
				if m.Label != arg && !strings.HasPrefix(m.ID, arg) {
					continue
				}
				found = true
				if !named[m.ID] {
					named[m.ID] = true
					t.Machines = append(t.Machines, m.ID)
				}
			}
		}
		if !found && kind != nothing {
			return t, "There is no " + map[operand]string{unitNames: "unit ", machineNames: "machine "}[kind] + arg +
				". Tab completes the names there are."
		}
	}
	return t, ""
}
