package tui

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/tui/config"
	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/state"
	"fleettop/tui/theme"
)

// pollEvery is how often it is looked whether a file of the settings changed.
const pollEvery = 2 * time.Second

// configMsg is settings that were read while the console is open.
type configMsg struct {
	config   *config.Config
	warnings []string
	chosen   string // the theme, where it was chosen here
}

// dress makes the console look and react as settings say.
func (s *shell) dress(look *theme.Theme, km *keys.Map) {
	s.theme, s.keys = look, km
	s.host.Redraw()
}

// pollSettings looks whether a file of the settings changed.
func (s *shell) pollSettings() tea.Cmd {
	if s.settings == nil || s.now().Sub(s.polled) < pollEvery {
		return nil
	}
	s.polled = s.now()
	settings := s.settings
	return func() tea.Msg {
		c, warnings, changed := settings.Poll()
		if !changed {
			return nil
		}
		return configMsg{config: c, warnings: warnings}
	}
}

// toldOf says what became of settings that were read.
func (s *shell) toldOf(m configMsg) {
	switch {
	case len(m.warnings) > 0:
		s.warn(m.warnings)
	case m.chosen != "":
		s.say("The theme is "+m.chosen+" until the console closes; theme = \""+m.chosen+
			"\" in config.toml keeps it.", false)
	default:
		s.say("The changed settings are in use.", false)
	}
}

// chooseTheme is the command that changes the theme.
func (s *shell) chooseTheme(args []string) tea.Cmd {
	settings := s.settings
	switch {
	case settings == nil:
		s.say("This console has no themes to choose from.", true)
		return nil
	case len(args) != 1:
		s.say("Name a theme: "+join(settings.Themes(), ", ")+".", true)
		return nil
	}
	return func() tea.Msg {
		c, warnings := settings.Use(args[0])
		return configMsg{c, warnings, args[0]}
	}
}

// saveFilter is the command that saves the filter of the screen that is shown.
func (s *shell) saveFilter(args []string) tea.Cmd {
	q := s.filters[s.top()]
	switch {
	case s.settings == nil:
		s.say("This console keeps no filters.", true)
		return nil
	case len(args) != 1:
		s.say("Give the filter a name, as in save-filter trouble.", true)
		return nil
	case q.Empty():
		s.say("This screen has no filter to save: / makes one.", true)
		return nil
	}
	settings, name, f := s.settings, args[0], config.Filter{Screen: tabNames[s.tab], Text: q.String()}
	return func() tea.Msg {
		if err := settings.SaveFilter(name, f); err != nil {
			return sayMsg{"The filter wasn't saved: " + sentence(err) + ".", true}
		}
		return sayMsg{fmt.Sprintf("Saved the filter %s of the screen %s: `:use %s` sets it.", draw.Clean(f.Text),
			f.Screen, name), false}
	}
}

// forgetFilter is the command that forgets a saved filter.
func (s *shell) forgetFilter(args []string) tea.Cmd {
	all := s.savedFilters()
	if len(args) != 1 || all[args[0]] == (config.Filter{}) {
		s.say(noFilter(all), true)
		return nil
	}
	settings, name := s.settings, args[0]
	return func() tea.Msg {
		if err := settings.SaveFilter(name, config.Filter{}); err != nil {
			return sayMsg{"The filter wasn't forgotten: " + sentence(err) + ".", true}
		}
		return sayMsg{"Forgot the filter " + name + ".", false}
	}
}

// useFilter is the command that sets a saved filter on its screen.
func (s *shell) useFilter(args []string) tea.Cmd {
	all := s.savedFilters()
	if len(args) != 1 || all[args[0]] == (config.Filter{}) {
		s.say(noFilter(all), true)
		return nil
	}
	f := all[args[0]]
	cmd := tea.Cmd(nil)
	if tab := slices.Index(tabNames[:], f.Screen); tab >= 0 {
		cmd = s.show(tab)
	}
	if !s.top().Filters() {
		s.say("This screen has no filter.", true)
		return cmd
	}
	s.filters[s.top()] = state.ParseQuery(f.Text)
	return cmd
}

// savedFilters are the saved filters by name; none where they can't be read.
func (s *shell) savedFilters() map[string]config.Filter {
	if s.settings == nil {
		return nil
	}
	all, err := s.settings.Filters()
	if err != nil {
		return nil
	}
	return all
}

func noFilter(all map[string]config.Filter) string {
	if len(all) == 0 {
		return "No filter is saved: / makes one, and `:save-filter NAME` saves it."
	}
	return "Name a saved filter: " + strings.Join(slices.Sorted(maps.Keys(all)), ", ") + "."
}
