package tui

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/daemon/api"
	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/linediff"
	"fleettop/tui/widgets"
	"fleettop/units"
	"fleettop/units/wording"
)

// changesAround is how many lines are shown around each change.
const changesAround = 3

// review shows what an edited file changes, of a new unit all its lines, and asks whether to apply it.
func (s *shell) review(m editMsg, text string) {
	before, verb, not := m.before, "apply", "Nothing was applied."
	if m.fresh {
		before, verb, not = "", "submit", "Nothing was submitted."
	}
	changes := linediff.Compare(before, text, changesAround)
	added, removed := linediff.Count(changes)
	title, effect := fmt.Sprintf("Apply %s? %s added, %d removed", m.name, wording.Count(added, "line"), removed),
		s.effectOf(m.name)
	if m.fresh {
		title, effect = fmt.Sprintf("Submit %s? It is new: %s", m.name, wording.Count(added, "line")), s.effectOfNew(m.name, text)
	}
	s.confirm = &widgets.Confirm{Title: title,
		// The target is what the question is about; the changes stand in its place.
		Targets: []string{m.name}, Changes: changes, Effect: effect, Verb: verb, Again: "edit again",
		Value: decision{
			yes: func() tea.Cmd { return s.apply(m, text) },
			again: func() tea.Cmd {
				return func() tea.Msg {
					return writeOut(editMsg{name: m.name, before: m.before, fresh: m.fresh}, text)
				}
			},
			no: not + s.draftNote(m, " Your text is kept for ") + ".",
		}}
}

// effectOfNew says what becomes of a unit that is new.
func (s *shell) effectOfNew(name, text string) string {
	const known = "It is made known to the cluster, and not started"
	n, err := units.ParseName(name)
	var file *units.File
	if err == nil {
		file, err = units.ParseFile(text)
	}
	var wants units.Requirements
	if err == nil {
		wants, err = file.Requirements(n)
	}
	if err == nil {
		err = units.Validate(n, file)
	}
	switch {
	case err != nil:
		return fmt.Sprintf("It would be refused: %s.", draw.Clean(err.Error()))
	case n.IsTemplate():
		return fmt.Sprintf("It is a template: it is made known to the cluster, and its instances, such as %s@1.%s, "+
			"can be started then.", n.Prefix(), n.Type())
	case wants.Global:
		return known + ". It is global: " + s.keys.Key(keys.Start) + " on it starts it on every machine that can take it."
	}
	return known + ": " + s.keys.Key(keys.Start) + " on it does that."
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
		return fmt.Sprintf("It is global: it is restarted on %s, one after another.", allOf(machines))
	}
	return "It is restarted on " + host + "."
}

// apply sends an edited file, unless the unit has another one by now than the
// one that was edited.
func (s *shell) apply(m editMsg, text string) tea.Cmd {
	client := s.source.Current()
	return func() tea.Msg {
		req := api.ActionRequest{Verb: api.Submit, Files: []api.File{{Name: m.name, Content: text}}, Replace: !m.fresh}
		if !m.fresh {
			ctx, cancel := context.WithTimeout(context.Background(), actPatience)
			u, err := client.Unit(ctx, m.name)
			cancel()
			switch {
			case err != nil:
				return sentMsg{edit: m, text: sentence(err), bad: true}
			case u.Content != m.before:
				return sentMsg{edit: m, text: "Nothing was applied: " + cmp.Or(u.By, "another operator") + " changed " +
					m.name + " meanwhile", bad: true}
			}
			req.Generations = map[string]int64{m.name: u.Generation}
		}
		said, bad := send(client, req)
		return sentMsg{m, said, bad, text}
	}
}

// sentMsg is what came of an edited file.
type sentMsg struct {
	edit editMsg
	text string
	bad  bool
	now  string // the file that the unit has now, where that was applied
}

// sent says what came of an edited file. What was typed isn't lost with a refusal.
func (s *shell) sent(m sentMsg) {
	switch {
	case m.edit.undoes && m.bad:
		m.text = "The change was not undone. " + m.text
	case m.edit.undoes:
		m.text = m.edit.name + " has the file again that it had before."
	case !m.bad:
		delete(s.drafts, m.edit.name)
	}
	s.say(strings.TrimSuffix(m.text, ".")+"."+s.draftNote(m.edit, " Your text is kept for "), m.bad)
	if m.bad || m.edit.fresh || m.edit.undoes {
		return
	}
	s.offerUndo("the change", nil, func() tea.Cmd {
		return s.apply(editMsg{name: m.edit.name, before: m.now, undoes: true}, m.edit.before)
	})
}

// draftNote says where a text that wasn't applied goes on, if there is one.
func (s *shell) draftNote(m editMsg, kept string) string {
	switch {
	case s.drafts[m.name] == "" || m.undoes:
		return ""
	case m.fresh:
		return kept + s.keys.Key(keys.New) + " with the name " + m.name
	}
	return kept + s.keys.Key(keys.Edit) + " on " + m.name
}
