// Package screens is what the console's shell and its screens agree on. Each
// screen is a package below: a model that gets bound keys and snapshots, and
// draws exactly the lines it was given room for.
package screens

import (
	"context"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/daemon/api"
	"fleettop/journal"
	"fleettop/tui/keys"
	"fleettop/tui/state"
	"fleettop/tui/theme"
)

// Client is the part of client.Client that screens ask.
type Client interface {
	Unit(ctx context.Context, name string) (*api.UnitDetail, error)
	Explain(ctx context.Context, name string) (*api.Explanation, error)
	Connectivity(ctx context.Context) (*api.Connectivity, error)
	StatsHistory(ctx context.Context, unit string, machines ...string) ([]api.StatsHistory, error)
	Processes(ctx context.Context, unit string, machines ...string) ([]api.UnitProcesses, error)
	Journal(ctx context.Context, o api.JournalOptions, f func(journal.Entry) error) error
}

// Env is what screens go by. It is made anew for each message and each frame.
type Env struct {
	Theme  *theme.Theme
	Keys   *keys.Map
	Snap   *state.Snapshot
	Trends *state.Trends // what this console saw machines and units use
	Now    time.Time
	Past   bool // Snap and Now are of the past
	Client Client
	// Pending is what was asked of a unit and isn't confirmed yet: "stopping…", or "".
	Pending func(unit string) string
	Filter  state.Query // of the screen that is shown
	Demo    bool
	Remote  bool // the person isn't at this machine: its files are not theirs
}

// NoFiles is said to whoever isn't at this machine and asks for a file of it.
const NoFiles = "Files can't be read or written over this connection; from your own shell: ssh HOST submit web.service <web.service"

// Screen is one of the console's screens.
type Screen interface {
	Place() keys.Place
	// Title is what the tab says, or for a screen one drills into, where one is.
	Title(*Env) string
	SetSize(width, height int)
	// Do carries out a bound key; the intent is for the shell.
	Do(*Env, keys.Action) Intent
	// Update takes the messages of the screen's own commands.
	Update(*Env, tea.Msg) tea.Cmd
	View(*Env) string
	// Target is what actions are done to.
	Target(*Env) Target
	// Filters reports whether the screen has a filter.
	Filters() bool
}

// Marker is a screen with marks.
type Marker interface {
	Marked() int
	// ClearMarks takes all marks away, and returns the keys of what had one.
	ClearMarks() []string
	// Mark marks things by their keys.
	Mark(keys []string)
}

// Lister is a screen that lists units.
type Lister interface {
	// Shown are the units that the filter leaves.
	Shown(*Env) []string
}

// Closer is a screen that has something running while it is shown.
type Closer interface{ Close() }

// Target is what actions are done to.
type Target struct {
	Units    []string
	Machines []string  // IDs
	On       string    // the machine of the row under the cursor, where that is one of several of its unit
	Text     string    // to be copied
	Why      string    // a sentence: why there is nothing, where that isn't plain to see
	At       time.Time // when what is under the cursor happened, or began; zero for what doesn't happen
}

// Intent is what a screen asks the shell for; nil for nothing.
type Intent any

// Intents.
type (
	OpenUnit    struct{ Unit string }
	OpenMachine struct{ ID string }
	OpenLogs    struct{ Units []string }
	Run         struct{ Cmd tea.Cmd }
	Say         struct{ Text string }
	Save        struct{ Path string } // what the screen shows, to a file
	LoadOlder   struct{}              // events before those that are known here
	// Ask opens a prompt; Done is called with the text.
	Ask struct {
		Label, Text string
		Replace     bool // the first letter takes the place of Text
		Done        func(text string) Intent
	}
)

// Tick tells a screen that time went on; the shell sends it while a clock is visible.
type Tick struct{}
