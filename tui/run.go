package tui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"

	"fleettop/daemon/api"
	"fleettop/tui/config"
	"fleettop/tui/feed"
	"fleettop/tui/input"
	"fleettop/tui/keys"
	_ "fleettop/tui/termbg" // before anything asks the terminal for its background
	"fleettop/tui/terminal"
)

const (
	frameEvery  = time.Second / 30     // the least time between two frames
	keyEvery    = 5 * time.Millisecond // the same, where a person waits for one
	endPatience = 250 * time.Millisecond
	hurry       = 400 * time.Millisecond // that the key to quit may wait for its turn
	inboxMost   = 1024                   // messages that wait for a busy console
)

// Size is a terminal's.
type Size struct{ Width, Height int }

// Options say what a console shows, and where. Client, In and Out must be set.
type Options struct {
	Client Client
	// Other returns a client of another machine's daemon, for while Client's
	// is away; nil if none can be reached from here. The console closes it.
	Other    func(api.Machine) (Client, error)
	ReadOnly bool
	ToAct    string // with ReadOnly, what a person has to do to act; empty for the flag
	Hello    string // what is told first, if anything
	Power    Power  // nil where machines can't be switched
	Config   *config.Config
	Warnings []string // to be told when the console opens
	// Settings are where Config is from, and are read again when they change;
	// nil where they can't change.
	Settings *config.Settings
	// History is the file that keeps what is typed at : and /; empty where nothing is to be kept,
	// as with a terminal that isn't a local one.
	History string
	// Cluster is the cluster's name in the person's configuration, and Clusters
	// returns all names there; Run returns a *SwitchError for another one.
	Cluster  string
	Clusters func() []string
	// Shell returns the command that opens a shell on a machine, by its ID; nil
	// where there is none.
	Shell   func(machine string) *exec.Cmd
	NoColor bool
	Plain   bool // nothing but ASCII

	In  io.Reader
	Out io.Writer
	// Env is the environment of the person's terminal; nil for this process's.
	Env func(name string) string
	// Renderer decides what colours Out can show; nil makes one for Out.
	Renderer *lipgloss.Renderer
	// Sizes are the sizes of a terminal that isn't a local one, the first
	// before anything is shown. Not for local ones. The person at such a
	// terminal has no business with this machine's files, and can't reach them.
	Sizes <-chan Size

	prepare func(*shell) // for tests
}

// Run shows the console until the person quits, the terminal is gone or ctx
// ends; then it returns ctx's error. On a local terminal it handles the
// process's signals meanwhile, and returns a *SignalError for one that ends
// it. Whatever the console is doing, Run ends within a second, and the
// terminal is left as it was found.
func Run(ctx context.Context, o Options) (err error) {
	if o.Config == nil {
		o.Config = &config.Config{}
	}
	if o.Env == nil {
		o.Env = os.Getenv
	}
	if o.Env("TERM") == "dumb" {
		return ErrDumb
	}
	km, warnings := keys.NewMap(o.Config.Keys, o.ReadOnly, o.Power != nil)
	o.Warnings = append(o.Warnings, warnings...)
	if o.Renderer == nil {
		// Only opening the terminal decides whether it is one: termenv's own check takes CI for an answer.
		o.Renderer = lipgloss.NewRenderer(o.Out, termenv.WithTTY(true))
	}
	eight := colours(&o)
	look, frame, err := dressed(&o, eight)
	if err != nil {
		return err
	}
	o.Warnings = append(o.Warnings, look.Warnings...)
	options := o
	p := &program{frame: frame, options: &options, eight: eight, clipboard: clipboardOf(&o), inbox: make(chan tea.Msg, inboxMost),
		over: make(chan struct{})}
	p.keys.Store(km)
	p.follow(o.Client)
	if other := o.Other; other != nil {
		o.Other = func(m api.Machine) (Client, error) {
			c, err := other(m)
			if err == nil {
				p.follow(c)
			}
			return c, err
		}
	}
	crashes := make(chan string, 1)
	f := feed.Start(ctx, feed.Config[Client]{Client: o.Client, Other: o.Other,
		Crashed: func(what string) { crashes <- what }})
	defer within(endPatience, f.Close)
	term, err := terminal.Open(o.In, o.Out, o.Config.Mouse)
	if err != nil {
		return err
	}
	defer term.Close()
	p.term = term
	p.shell = newShell(setup{theme: look, keys: km, source: f, host: p, power: o.Power, readOnly: o.ReadOnly,
		toAct: cmp.Or(o.ToAct, "start it without --read-only"), remote: o.Sizes != nil, mouseOn: o.Config.Mouse,
		settings: o.Settings, historyFile: o.History, cluster: o.Cluster, clusters: o.Clusters, ssh: o.Shell,
		now: time.Now, after: after})
	if o.Hello != "" {
		p.shell.say(o.Hello, false)
	}
	if o.prepare != nil {
		o.prepare(p.shell)
	}
	if len(o.Warnings) > 0 {
		p.shell.warn(o.Warnings)
	}
	p.shell.recall()
	if o.Sizes != nil {
		select {
		case size := <-o.Sizes:
			p.shell.width, p.shell.height = size.Width, size.Height
		case <-ctx.Done():
			return ctx.Err()
		}
	} else {
		defer p.handleSignals()() // before the size is read, or a change might be missed
		if w, h, ok := term.Size(); ok {
			p.shell.width, p.shell.height = w, h
		}
	}
	p.tea = tea.NewProgram(p, tea.WithContext(ctx), tea.WithInput(nil), tea.WithOutput(io.Discard),
		tea.WithoutRenderer(), tea.WithoutSignalHandler(), tea.WithoutCatchPanics())
	p.input, err = input.Start(o.In, term.Local(), o.Config.Mouse, p.typed, func() { p.end(ErrGone) })
	if err != nil {
		return err
	}
	defer p.input.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := p.tea.Run()
		ended <- err
	}()
	var running sync.WaitGroup
	done := make(chan struct{})
	running.Go(func() { p.forward(done) })
	running.Go(func() { p.events(o.Sizes, crashes, done) })
	stuck := false
	select {
	case err = <-ended:
	case <-p.over:
		p.tea.Kill()
		err, stuck = awaitEnd(ended)
	case <-ctx.Done():
		err, stuck = awaitEnd(ended)
	}
	close(done)
	running.Wait()
	if stuck { // what it is busy with ends with the process, or when it can
		go func() {
			<-ended
			p.shell.closeAll()
		}()
	} else {
		p.shell.closeAll()
	}
	term.Leave()
	switch {
	case p.reason() != nil:
		return p.reason()
	case ctx.Err() != nil:
		return ctx.Err()
	case !stuck && p.crash != "":
		return fmt.Errorf("the console crashed, and the cluster knows nothing of it: please report this:\n%s", p.crash)
	case errors.Is(err, tea.ErrProgramKilled):
		return term.Err()
	}
	return err
}

// within calls f, and waits for it for some time at most.
func within(limit time.Duration, f func()) {
	done := make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(limit):
	}
}

// awaitEnd waits for a program that was told to end; stuck says that it is
// busy and can't be waited for.
func awaitEnd(ended <-chan error) (err error, stuck bool) {
	select {
	case err = <-ended:
		return err, false
	case <-time.After(endPatience):
		return nil, true
	}
}
