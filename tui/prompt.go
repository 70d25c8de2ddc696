package tui

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
)

// prompt is a line being typed, and what is done with it.
type prompt struct {
	*widgets.Prompt
	live   func(text string) // with each key; nil for nothing
	done   func(text string) tea.Cmd
	cancel func()
	list   bool // show what the text may become
}

// inTurn runs a command after another one, of which a message is rare: what ends the console would else
// end it before what was typed is kept.
func inTurn(first, then tea.Cmd) tea.Cmd {
	if first == nil || then == nil {
		return tea.Batch(first, then)
	}
	return func() tea.Msg {
		if msg := first(); msg != nil {
			return tea.BatchMsg{func() tea.Msg { return msg }, then}
		}
		return then()
	}
}

// promptKey takes a key for the prompt.
func (s *shell) promptKey(msg tea.KeyMsg) tea.Cmd {
	p := s.prompt
	switch msg.String() {
	case "enter", "ctrl+j": // some send a line feed for it
		s.prompt = nil
		return inTurn(s.remember(p.Label, p.Value()), p.done(p.Value()))
	case "esc", "ctrl+c":
		s.prompt = nil
		if p.cancel != nil {
			p.cancel()
		}
		return nil
	case "backspace":
		if p.Value() == "" {
			s.prompt = nil
			if p.cancel != nil {
				p.cancel()
			}
			return nil
		}
	}
	p.Update(msg)
	if p.live != nil {
		p.live(p.Value())
	}
	return nil
}

// openFilter lets the person filter as they type.
func (s *shell) openFilter(text string) {
	top := s.top()
	if !top.Filters() {
		return
	}
	was := s.filters[top]
	if text == "" {
		text = was.String()
	}
	p := &prompt{Prompt: widgets.NewPrompt("/", text).WithHistory(s.history["/"])}
	if text == was.String() {
		p.Replace()
	}
	p.Complete = func(text string) []string { return s.completeFilter(top.Place(), text) }
	p.live = func(text string) { s.filters[top] = state.ParseQuery(text) }
	p.done = func(text string) tea.Cmd {
		p.live(text)
		return nil
	}
	p.cancel = func() { s.filters[top] = was }
	p.live(text)
	s.prompt = p
}

// completeFilter offers keys, and values of some.
func (s *shell) completeFilter(place keys.Place, text string) []string {
	start, word := "", text
	if i := strings.LastIndexByte(text, ' '); i >= 0 {
		start, word = text[:i+1], text[i+1:]
	}
	if strings.HasPrefix(word, "!") {
		start, word = start+"!", word[1:]
	}
	if word == "" {
		return nil
	}
	names := state.RowKeys
	switch place {
	case keys.Machines:
		names = state.MachineKeys
	case keys.Timeline:
		names = state.EventKeys
	}
	var list []string
	for _, n := range names {
		list = append(list, n+"=")
	}
	for _, c := range s.snap.Counts.Units {
		list = append(list, "state="+c.Word)
	}
	for _, m := range s.snap.Machines {
		list = append(list, "machine="+m.Label)
	}
	return matching(start, word, list)
}

// matching are the choices that begin with a word, after a start.
func matching(start, word string, list []string) []string {
	var out []string
	for _, l := range list {
		if strings.HasPrefix(l, word) {
			out = append(out, start+l)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// entriesMost is how many files of a directory are looked at for completion.
const entriesMost = 2000

// completeFile offers the files a path may become.
func completeFile(text string) []string {
	path := atHome(text)
	dir, base := filepath.Split(path)
	if !filepath.IsAbs(path) {
		dir = filepath.Clean("./" + dir)
	}
	d, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0) // a FIFO would be waited for
	if err != nil {
		return nil
	}
	defer d.Close()
	entries, _ := d.ReadDir(entriesMost)
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	dir, _ = filepath.Split(path)
	var out []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), base) || base == "" && strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name := dir + e.Name()
		if e.IsDir() {
			name += "/"
		}
		out = append(out, name)
	}
	return out
}

// atHome is a path with the person's own directory in the place of ~.
func atHome(path string) string {
	if home, err := os.UserHomeDir(); err == nil && strings.HasPrefix(path, "~/") {
		return filepath.Join(home, path[2:])
	}
	return path
}

func join(list []string, sep string) string { return strings.Join(list, sep) }

// copy sends what is under the cursor to the person's clipboard.
func (s *shell) copy() tea.Cmd {
	t := s.top().Target(s.env())
	text := t.Text
	if text == "" {
		text = join(t.Units, "\n")
	}
	if text == "" {
		return nil
	}
	host, what := s.host, draw.Fit(draw.Clean(strings.ReplaceAll(text, "\n", ", ")), copiedMost)
	return func() tea.Msg {
		if taken := host.Copy(text); taken != "" {
			return sayMsg{"Copied " + what + " into " + taken + ".", false}
		}
		return sayMsg{"Sent " + what +
			" to the terminal. Terminals that take text from programs (OSC 52) have it on the clipboard now.", false}
	}
}

// copiedMost is how much of a copied text is said, in columns.
const copiedMost = 60
