package tui

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/daemon/api"
	"fleettop/tui/linediff"
	"fleettop/tui/widgets"
	"fleettop/units"
	"fleettop/units/wording"
)

// changesAround is how many lines are shown around each change.
const changesAround = 3

// review shows what an edited file changes, and asks whether to apply it.
func (s *shell) review(m editMsg, text string) {
	changes := linediff.Compare(m.before, text, changesAround)
	added, removed := linediff.Count(changes)
	s.confirm = &widgets.Confirm{
		Title: fmt.Sprintf("Apply %s? %s added, %d removed", m.name, wording.Count(added, "line"), removed),
		// The target is what the question is about; the changes stand in its place.
		Targets: []string{m.name}, Changes: changes, Effect: s.effectOf(m.name), Verb: "apply", Again: "edit again",
		Value: decision{
			yes: func() tea.Cmd { return s.apply(m, text) },
			again: func() tea.Cmd {
				return func() tea.Msg { return writeOut(editMsg{name: m.name, before: m.before}, text) }
			},
			no: "Nothing was applied." + s.draftNote(m, " Your text is kept for ") + ".",
		}}
}

// effectOf says what a new file of a unit does to what runs.
func (s *shell) effectOf(name string) string {
	if strings.Contains(name, "@.") {
		return "Instances of it keep the file they have, until they are started with --replace."
	}
	machines, host, global := 0, "", false
	for _, r := range s.snap.Of(name) {
		if r.Machine != "" && r.Desired == units.Launched {
			machines, host, global = machines+1, r.Host, r.Global
		}
	}
	switch {
	case machines == 0:
		return "It isn't started, so nothing is restarted."
	case global:
		return fmt.Sprintf("It is global: it is restarted on each of its %s, one after another.",
			wording.Count(machines, "machine"))
	}
	return "It is restarted on " + host + "."
}

// apply sends an edited file, unless the unit has another one by now than the
// one that was edited.
func (s *shell) apply(m editMsg, text string) tea.Cmd {
	client := s.source.Current()
	return func() tea.Msg {
		if !m.fresh {
			ctx, cancel := context.WithTimeout(context.Background(), actPatience)
			u, err := client.Unit(ctx, m.name)
			cancel()
			switch {
			case err != nil:
				return sentMsg{m, sentence(err), true}
			case u.Content != m.before:
				return sentMsg{m, "Nothing was applied: " + cmp.Or(u.By, "another operator") + " changed " + m.name +
					" meanwhile", true}
			}
		}
		said, bad := send(client, []api.File{{Name: m.name, Content: text}}, !m.fresh)
		return sentMsg{m, said, bad}
	}
}
