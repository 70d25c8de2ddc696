// Package connectivity is the screen of which machine reaches which: a matrix by
// gossip, probe, store and API, and in sentences what is wrong.
package connectivity

import (
	"context"
	"errors"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/widgets"
)

const (
	patience = 5 * time.Second
	every    = 3 * time.Second // between questions, while it is shown
)

// Screen shows the matrix. The cursor is on a row, which is told in words below.
type Screen struct {
	width, height int
	buf           draw.Buf
	cursor        widgets.List
	first         int // the first column shown

	got    *api.Connectivity
	at     time.Time // when it came
	err    error
	asked  time.Time
	asking bool
}

// answer is what the daemon says.
type answer struct {
	of  *Screen
	got *api.Connectivity
	err error
}

// New returns the screen.
func New() *Screen { return &Screen{} }

// Place implements screens.Screen.
func (s *Screen) Place() keys.Place { return keys.Connectivity }

// Title implements screens.Screen.
func (s *Screen) Title(*screens.Env) string { return "connectivity" }

// Filters implements screens.Screen.
func (s *Screen) Filters() bool { return false }

// SetSize implements screens.Screen.
func (s *Screen) SetSize(w, h int) { s.width, s.height = w, h }

// Start asks for the first time.
func (s *Screen) Start(env *screens.Env) tea.Cmd { return s.ask(env) }

func (s *Screen) ask(env *screens.Env) tea.Cmd {
	s.asking, s.asked = true, env.Now
	client := env.Client
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		a := answer{of: s}
		a.got, a.err = client.Connectivity(ctx)
		return a
	}
}

// Update implements screens.Screen.
func (s *Screen) Update(env *screens.Env, msg tea.Msg) tea.Cmd {
	if a, ok := msg.(answer); ok && a.of == s {
		s.asking, s.err = false, a.err
		if a.err == nil {
			s.got, s.at = a.got, env.Now
		}
		return nil
	}
	if !s.asking && env.Now.Sub(s.asked) >= every {
		return s.ask(env)
	}
	return nil
}

// Do implements screens.Screen.
func (s *Screen) Do(_ *screens.Env, a keys.Action) screens.Intent {
	switch a {
	case keys.Left:
		s.first--
	case keys.Right:
		s.first++
	default:
		if s.got != nil {
			s.cursor.Sync(len(s.got.Machines), s.rowKey)
			s.cursor.Do(a, s.rowKey)
		}
	}
	return nil
}

func (s *Screen) rowKey(i int) string { return s.got.Machines[i].ID }

// Target implements screens.Screen: the machine of the row.
func (s *Screen) Target(*screens.Env) screens.Target {
	if i := s.cursor.Index(); s.got != nil && i >= 0 && i < len(s.got.Machines) {
		return screens.Target{Machines: []string{s.got.Machines[i].ID}, Text: strings.Join(s.got.Sentences, "\n")}
	}
	return screens.Target{}
}

// trouble says why there is no newer answer; empty if nothing is wrong.
func (s *Screen) trouble() string {
	var away *client.UnreachableError
	var refused *api.Error
	switch {
	case s.err == nil:
		return ""
	case errors.As(s.err, &away):
		return "No daemon answers; it is asked again when one does."
	case errors.As(s.err, &refused) && refused.Code == api.CodeNotFound:
		return "This daemon can't tell which machine reaches which: it is of an older version."
	}
	text, _, _ := strings.Cut(s.err.Error(), "\n")
	return "The daemon was asked, and did not say: " + draw.Clean(text)
}
