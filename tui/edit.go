package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

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
	if s.noFiles() {
		return nil
	}
	if len(paths) == 0 {
		return nil
	}
	var files []api.File
	for _, path := range paths {
		if home, err := os.UserHomeDir(); err == nil && strings.HasPrefix(path, "~/") {
			path = filepath.Join(home, path[2:])
		}
		raw, err := safefile.Read(path, units.MaxFileSize)
		if errors.Is(err, os.ErrNotExist) && len(paths) == 1 && !strings.Contains(path, "/") {
			if _, bad := units.ParseName(path); bad == nil {
				return func() tea.Msg { return writeOut(path, template, true) }
			}
		}
		if err != nil {
			s.say(sentence(err)+": name a file that can be read.", true)
			return nil
		}
		files = append(files, api.File{Name: filepath.Base(path), Content: string(raw)})
	}
	return s.send(files, false)
}

// send submits files.
func (s *shell) send(files []api.File, replace bool) tea.Cmd {
	client := s.source.Current()
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), actPatience)
		defer cancel()
		reply, err := client.Act(ctx, api.ActionRequest{Verb: api.Submit, Files: files, Replace: replace})
		if err != nil {
			return sayMsg{sentence(err), true}
		}
		var names []string
		for _, r := range reply.Results {
			if r.Error != nil {
				return sayMsg{sentence(r.Error), true}
			}
			names = append(names, r.Name)
		}
		if replace {
			return sayMsg{"Applied " + join(names, ", ") + ".", false}
		}
		return sayMsg{"Submitted " + join(names, ", ") + ". Press s on it to start it.", false}
	}
}

// edit fetches a unit's file and opens it in the editor.
func (s *shell) edit(names []string) tea.Cmd {
	if s.noFiles() {
		return nil
	}
	if len(names) != 1 {
		s.say("One file is edited at a time: take the marks away with esc.", true)
		return nil
	}
	client := s.source.Current()
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), actPatience)
		defer cancel()
		u, err := client.Unit(ctx, names[0])
		if err != nil {
			return sayMsg{sentence(err), true}
		}
		return writeOut(u.Name, u.Content, false)
	}
}

func writeOut(name, content string, fresh bool) tea.Msg {
	dir, err := os.MkdirTemp("", "fleettop-edit-")
	if err != nil {
		return sayMsg{sentence(err), true}
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return sayMsg{sentence(err), true}
	}
	return editMsg{name: name, path: path, before: content, fresh: fresh}
}

// edited opens the editor, or applies what came from it.
func (s *shell) edited(m editMsg) tea.Cmd {
	if !m.back {
		m.back = true
		e, ok := s.host.(editor)
		if !ok {
			_ = os.RemoveAll(filepath.Dir(m.path))
			s.say("There is no editor on this connection.", true)
			return nil
		}
		return tea.Exec(e.Editor(m.path), func(err error) tea.Msg {
			m.err = err
			return m
		})
	}
	s.host.Redraw()
	raw, err := os.ReadFile(m.path)
	if err = errors.Join(m.err, err); err != nil {
		s.say(fmt.Sprintf("The editor failed: %s. Name another one in $EDITOR; the file is in %s.", draw.Clean(strings.ReplaceAll(err.Error(), "\n", "; ")), m.path), true)
		return nil
	}
	content := string(raw)
	if content == m.before {
		_ = os.RemoveAll(filepath.Dir(m.path))
		s.say("Nothing was changed.", false)
		return nil
	}
	send := s.send([]api.File{{Name: m.name, Content: content}}, !m.fresh)
	return func() tea.Msg {
		said, _ := send().(sayMsg)
		if said.bad {
			// What was typed must not be lost with the refusal.
			said.text = strings.TrimSuffix(said.text, ".") + ". Your text is in " + m.path + "."
		} else {
			_ = os.RemoveAll(filepath.Dir(m.path))
		}
		return said
	}
}

// editor is a host on which a person's editor can run.
type editor interface {
	Editor(path string) tea.ExecCommand
}

// editorCommand runs the person's editor on a file, with the terminal as it was.
type editorCommand struct {
	*exec.Cmd
	around func(run func() error) error
}

func newEditor(path string, around func(func() error) error) *editorCommand {
	words := strings.Fields(os.Getenv("VISUAL"))
	if len(words) == 0 {
		words = strings.Fields(os.Getenv("EDITOR"))
	}
	if len(words) == 0 {
		words = []string{"vi"}
	}
	return &editorCommand{exec.Command(words[0], append(words[1:], path)...), around}
}

func (e *editorCommand) Run() error            { return e.around(e.Cmd.Run) }
func (e *editorCommand) SetStdin(r io.Reader)  { e.Stdin = r }
func (e *editorCommand) SetStdout(w io.Writer) { e.Stdout = w }
func (e *editorCommand) SetStderr(w io.Writer) { e.Stderr = w }

// save writes what the log screen shows to a file.
func (s *shell) save(args []string) tea.Cmd {
	if s.noFiles() {
		return nil
	}
	saver, ok := s.top().(interface {
		Save(path string) (int, error)
	})
	if !ok || len(args) != 1 {
		s.say("Save works on the log screen, with the name of a file.", true)
		return nil
	}
	n, err := saver.Save(args[0])
	if err != nil {
		s.say(sentence(err)+": name a file that can be written.", true)
		return nil
	}
	s.say(fmt.Sprintf("Saved %s to %s at %s.", widgets.Plural(n, "line"), args[0], s.now().Format(time.TimeOnly)), false)
	return nil
}
