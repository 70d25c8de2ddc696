package tui

import (
	"slices"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/tui/keys"
	"fleettop/tui/screens/connectivity"
)

// keysOf takes keys. Those typed faster than they are read come as one.
func (s *shell) keysOf(msg tea.KeyMsg) tea.Cmd {
	if msg.Type != tea.KeyRunes || len(msg.Runes) < 2 || msg.Paste {
		return s.key(msg)
	}
	var cmds []tea.Cmd
	for _, r := range msg.Runes {
		asked := s.confirm != nil
		cmds = append(cmds, s.key(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}, Alt: msg.Alt}))
		if s.confirm != nil && !asked {
			break // a question is answered by a person who has seen it
		}
	}
	return tea.Batch(cmds...)
}

// key takes a key: for a dialog, a prompt, or the screen.
func (s *shell) key(msg tea.KeyMsg) tea.Cmd {
	key := msg.String()
	if s.confirm != nil && msg.Alt { // esc and a key typed faster than they are read
		msg.Alt = false
		return tea.Batch(s.answer("esc"), s.key(msg))
	}
	if s.confirm != nil {
		return s.answer(key)
	}
	if s.prompt != nil {
		return s.promptKey(msg)
	}
	if msg.Paste {
		return nil // pasted text never acts
	}
	s.notice = notice{}
	if msg.Type == tea.KeySpace {
		key = " "
	}
	a := s.keys.Action(s.top().Place(), key)
	if a == "" && msg.Alt {
		// Esc and a key typed faster than they are read.
		msg.Alt = false
		return tea.Batch(s.do(keys.Back), s.key(msg))
	}
	if a == "" {
		s.unbound(key)
		return nil
	}
	return s.do(a)
}

// unbound tells why a key does nothing, if there is a reason.
func (s *shell) unbound(key string) {
	for _, b := range keys.Table() {
		if b.Acts && s.readOnly && b.Place&s.top().Place() != 0 && slices.Contains(b.Keys, key) &&
			(!b.Demo || s.power != nil) {
			s.say(s.onlyReads(b), true)
			return
		}
	}
}

// do carries out an action.
func (s *shell) do(a keys.Action) tea.Cmd {
	if why := s.notPast(a); why != "" {
		s.say(why, true)
		return nil
	}
	switch a {
	case keys.Then:
		return s.showThen()
	case keys.StepBack:
		return s.step(false)
	case keys.StepForward:
		return s.step(true)
	case keys.Play:
		return s.play()
	case keys.Quit:
		return s.quit()
	case keys.Suspend:
		s.host.Suspend()
	case keys.Redraw:
		s.host.Redraw()
	case keys.NextScreen:
		return s.show(s.nextTab(1))
	case keys.PrevScreen:
		return s.show(s.nextTab(tabCount - 1))
	case keys.ShowHelp:
		return s.show(tabHelp)
	case keys.Back:
		return s.back()
	case keys.Palette:
		s.openPalette("")
	case keys.Filter:
		s.openFilter("")
	case keys.Fuzzy:
		s.openFilter("~")
	case keys.Copy:
		return s.copy()
	case keys.Undo:
		return s.undoLast()
	case keys.Shell:
		return s.login(s.top().Target(s.env()))
	case keys.Mouse:
		s.toggleMouse()
	case keys.Panel:
		return s.togglePanel()
	case keys.Errors:
		return s.openErrors(s.filtered())
	case keys.GoReach:
		if s.top().Place() != keys.Connectivity {
			return s.open(connectivity.New())
		}
	default:
		if tab, ok := tabOf[a]; ok {
			return s.show(tab)
		}
		if cmd, ok := s.act(a, s.top().Target(s.env())); ok {
			return cmd
		}
		return s.intend(s.top().Do(s.env(), a))
	}
	return nil
}

var tabOf = map[keys.Action]int{keys.GoOverview: tabOverview, keys.GoUnits: tabUnits, keys.GoMachines: tabMachines,
	keys.GoTimeline: tabTimeline, keys.GoLogs: tabLogs, keys.GoHelp: tabHelp}

// nextTab is the tab so many further. The past has no logs.
func (s *shell) nextTab(by int) int {
	next := (s.tab + by) % tabCount
	if s.past != nil && next == tabLogs {
		next = (next + by) % tabCount
	}
	return next
}
