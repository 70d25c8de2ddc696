package tui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/daemon/api"
	"fleettop/tui/draw"
	"fleettop/tui/screens"
	"fleettop/tui/widgets"
	"fleettop/units"
	"fleettop/units/safefile"
)

// editMsg is a file on its way to the editor, or back from it.
type editMsg struct {
	name   string
	path   string // of the temporary file
	before string
	fresh  bool // the unit is not known yet
	back   bool // from the editor
	undoes bool // it takes back a change that was applied; no editor is asked
	err    error
}

const template = `[Unit]
Description=

[Service]
ExecStart=

[X-Fleet]
# MachineMetadata=rack=1
# Conflicts=%p@*.service
`

// noFiles tells whoever isn't at this machine that its files are not theirs:
// they are not to be read, written, listed or edited from afar.
func (s *shell) noFiles() bool {
	if s.remote {
		s.say(screens.NoFiles, true)
	}
	return s.remote
}

// askNew asks for a file to submit, or a name to write one for.
func (s *shell) askNew() {
	if s.noFiles() {
		return
	}
	p := &prompt{Prompt: widgets.NewPrompt("submit file, or name of a new unit: ", "")}
	p.Complete = completeFile
	p.done = func(text string) tea.Cmd { return s.submit(strings.Fields(text)) }
	s.prompt = p
}

// submit submits files; a name without a file is one to be written.
func (s *shell) submit(paths []string) tea.Cmd {
	if s.noFiles() || len(paths) == 0 {
		return nil
	}
	drafts := maps.Clone(s.drafts)
	client := s.source.Current()
	return func() tea.Msg {
		var files []api.File
		for _, path := range paths {
			path = atHome(path)
			raw, err := safefile.Read(path, units.MaxFileSize)
			if errors.Is(err, os.ErrNotExist) && len(paths) == 1 && !strings.Contains(path, "/") {
				if _, bad := units.ParseName(path); bad == nil {
					return writeOut(editMsg{name: path, before: template, fresh: true}, cmp.Or(drafts[path], template))
				}
			}
			if err != nil {
				return sayMsg{sentence(err) + ": name a file that can be read.", true}
			}
			files = append(files, api.File{Name: filepath.Base(path), Content: string(raw)})
		}
		text, bad := send(client, api.ActionRequest{Verb: api.Submit, Files: files})
		return sayMsg{text, bad}
	}
}

// send submits files, and returns what came of it; bad says that it was refused.
func send(client Client, req api.ActionRequest) (text string, bad bool) {
	ctx, cancel := patient(client)
	defer cancel()
	reply, err := client.Act(ctx, req)
	if err != nil {
		return sentence(err), true
	}
	var names []string
	for _, r := range reply.Results {
		if r.Error != nil {
			return sentence(r.Error), true
		}
		names = append(names, r.Name)
	}
	if req.Replace {
		return "Applied " + join(names, ", ") + "." + warning(reply.Results), false
	}
	return "Submitted " + join(names, ", ") + ". Press s on it to start it." + warning(reply.Results), false
}

// edit fetches a unit's file and opens it in the editor.
func (s *shell) edit(target screens.Target) tea.Cmd {
	names := target.Units
	switch {
	case s.noFiles():
		return nil
	case len(names) == 0:
		s.say(cmp.Or(target.Why, "There is no unit under the cursor to edit."), true)
		return nil
	case len(names) > 1:
		s.say("One file is edited at a time: take the marks away with esc.", true)
		return nil
	}
	client, draft := s.source.Current(), s.drafts[names[0]]
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), actPatience)
		defer cancel()
		u, err := client.Unit(ctx, names[0])
		if err != nil {
			return sayMsg{sentence(err), true}
		}
		return writeOut(editMsg{name: u.Name, before: u.Content}, cmp.Or(draft, u.Content))
	}
}

func writeOut(m editMsg, content string) tea.Msg {
	dir, err := os.MkdirTemp("", "fleettop-edit-")
	if err != nil {
		return sayMsg{sentence(err), true}
	}
	m.path = filepath.Join(dir, m.name)
	if err := os.WriteFile(m.path, []byte(content), 0o600); err != nil {
		_ = os.RemoveAll(dir)
		return sayMsg{sentence(err), true}
	}
	return m
}

// edited opens the editor, or shows what changed when it comes back. No file is
// left: a text that isn't applied is kept here, for the next time.
func (s *shell) edited(m editMsg) tea.Cmd {
	if !m.back {
		m.back = true
		e, ok := s.host.(editor)
		if !ok {
			_ = os.RemoveAll(filepath.Dir(m.path))
			s.say("There is no editor on this connection.", true)
			return nil
		}
		return func() tea.Msg {
			m.err = e.Edit(m.path)
			return m
		}
	}
	s.host.Redraw()
	raw, err := safefile.Read(m.path, units.MaxFileSize)
	_ = os.RemoveAll(filepath.Dir(m.path))
	if err == nil && string(raw) == m.before {
		delete(s.drafts, m.name)
	} else if err == nil {
		s.drafts[m.name] = string(raw)
	}
	switch {
	case m.err != nil:
		s.say(fmt.Sprintf("The editor failed: %s. Nothing was applied%s; $EDITOR can name another one.",
			draw.Clean(strings.ReplaceAll(m.err.Error(), "\n", "; ")), s.draftNote(m, ", your text is kept for ")),
			true)
		return nil
	case err != nil:
		s.say("Nothing was applied: "+sentence(err)+".", true)
		return nil
	case string(raw) == m.before:
		s.say("Nothing was changed.", false)
		return nil
	}
	s.review(m, string(raw))
	return nil
}

// editor is a host on which a person's editor can run. Edit returns when it has.
type editor interface {
	Edit(path string) error
}
