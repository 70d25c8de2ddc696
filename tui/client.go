package tui

import (
	"context"
	"os/exec"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/daemon/api"
	"fleettop/journal"
	"fleettop/tui/config"
	"fleettop/tui/feed"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/theme"
)

// Client is the part of client.Client the console uses.
type Client interface {
	feed.Client
	screens.Client
	Act(context.Context, api.ActionRequest) (*api.ActionReply, error)
	// ScheduleAll cordons, drains or uncordons machines, as one decision.
	ScheduleAll(context.Context, api.MachinesRequest) (*api.MachinesReply, error)
	PlanDrain(ctx context.Context, machines ...string) (*api.DrainPlan, error)
	PlanDrill(ctx context.Context, machine string) (*api.DrillPlan, error)
	Drill(ctx context.Context, machine string, req api.DrillRequest) (*api.DrillReply, error)
}

// follower is a client whose acts may take as long as they need, while it
// tells how far they are.
type follower interface {
	FollowLong(silence time.Duration, report func(*api.Progress))
}

// patient is the context of an act: without a limit where the client itself
// gives up on a daemon that falls silent.
func patient(c Client) (context.Context, context.CancelFunc) {
	if _, ok := c.(follower); ok {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(context.Background(), actPatience)
}

// Power switches machines off and on, where that can be done: in the demo.
type Power interface {
	Off(machineID string) error
	On(machineID string) error
}

// source is what the shell gets its snapshots from.
type source interface {
	Snapshots() <-chan *state.Snapshot
	Look(on bool)
	LoadOlder()
	Current() Client
}

// host is what the shell needs of where it runs.
type host interface {
	// Copy sends text to the clipboard of the person at the terminal. It may
	// block for a moment. It returns what is known to have taken the text, or "".
	Copy(text string) (taken string)
	Suspend()
	Redraw()
	// Mouse asks the terminal for mouse events, or no longer.
	Mouse(on bool)
	// Switch ends the console for another cluster.
	Switch(cluster string)
}

// setup is what a shell is made of.
type setup struct {
	theme    *theme.Theme
	keys     *keys.Map
	source   source
	host     host
	power    Power
	settings *config.Settings // nil where there are none
	// historyFile keeps what is typed at : and / for the next session; empty where nothing does.
	historyFile string
	cluster     string          // its name in the person's configuration; empty for none
	clusters    func() []string // the names there; nil where there is no configuration
	ssh         func(machine string) *exec.Cmd
	readOnly    bool
	toAct       string // what a person has to do to act
	mouseOn     bool
	remote      bool // the person isn't at this machine
	now         func() time.Time
	after       func(time.Duration, tea.Msg) tea.Cmd
}

// current asks whichever daemon is in use at the moment.
type current struct{ source }

func (c current) Unit(ctx context.Context, name string) (*api.UnitDetail, error) {
	return c.Current().Unit(ctx, name)
}

func (c current) Explain(ctx context.Context, name string) (*api.Explanation, error) {
	return c.Current().Explain(ctx, name)
}

func (c current) Connectivity(ctx context.Context) (*api.Connectivity, error) {
	return c.Current().Connectivity(ctx)
}

func (c current) StatsHistory(ctx context.Context, unit string, machines ...string) ([]api.StatsHistory, error) {
	return c.Current().StatsHistory(ctx, unit, machines...)
}

func (c current) Processes(ctx context.Context, unit string, machines ...string) ([]api.UnitProcesses, error) {
	return c.Current().Processes(ctx, unit, machines...)
}

func (c current) Journal(ctx context.Context, o api.JournalOptions, f func(journal.Entry) error) error {
	return c.Current().Journal(ctx, o, f)
}
