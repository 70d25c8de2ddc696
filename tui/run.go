package tui

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"

	"fleettop/daemon/api"
	"fleettop/tui/config"
	"fleettop/tui/feed"
	"fleettop/tui/keys"
	_ "fleettop/tui/termbg" // before anything asks the terminal for its background
	"fleettop/tui/terminal"
	"fleettop/tui/theme"
)

const (
	frameEvery = time.Second / 30     // the least time between two frames
	keyEvery   = 5 * time.Millisecond // the same, where a person waits for one
)

// Size is a terminal's.
type Size struct{ Width, Height int }

// Options say what a console shows, and where. Client, In and Out must be set.
type Options struct {
	Client Client
	// Other returns a client of another machine's daemon, for while Client's
	// is away; nil if none can be reached from here.
	Other    func(api.Machine) (Client, error)
	ReadOnly bool
	Hello    string // what is told first, if anything
	Power    Power  // nil where machines can't be switched
	Config   *config.Config
	NoColor  bool
	Plain    bool // glyphs of ASCII only
	Bare     bool // no escape sequences but for moving the cursor

	In  io.Reader
	Out io.Writer
	// Renderer decides what colours Out can show; nil makes one for Out.
	Renderer *lipgloss.Renderer
	// Sizes are the sizes of a terminal that isn't a local one, the first
	// before anything is shown. Not for local ones. The person at such a
	// terminal has no business with this machine's files, and can't reach them.
	Sizes <-chan Size
}

// Run shows the console until the person quits or ctx ends; then it returns
// ctx's error. The terminal is left as it was found, whatever happens.
func Run(ctx context.Context, o Options) (err error) {
	if o.Config == nil {
		o.Config = &config.Config{}
	}
	km, err := keys.NewMap(o.Config.Keys, o.ReadOnly, o.Power != nil)
	if err != nil {
		return err
	}
	if o.Renderer == nil {
		o.Renderer = lipgloss.NewRenderer(o.Out)
	}
	if o.NoColor {
		o.Renderer.SetColorProfile(noColour)
	}
	plain := o.Plain || o.Config.Glyphs == "ascii"
	look, err := theme.New(o.Renderer, theme.Options{Colours: o.Config.Colors, Plain: plain, Bare: o.Bare})
	if err != nil {
		return err
	}
	crashes := make(chan string, 1)
	f := feed.Start(ctx, feed.Config[Client]{Client: o.Client, Other: o.Other, Crashed: func(what string) { crashes <- what }})
	defer f.Close()
	term, err := terminal.Open(o.In, o.Out, o.Config.Mouse)
	if err != nil {
		return err
	}
	defer term.Leave()
	p := &program{term: term, plain: plain}
	p.shell = newShell(setup{theme: look, keys: km, source: f, host: p, power: o.Power, readOnly: o.ReadOnly, remote: o.Sizes != nil, now: time.Now, after: after})
	if o.Hello != "" {
		p.shell.say(o.Hello, false)
	}
	resizes := make(chan os.Signal, 1)
	if o.Sizes != nil {
		select {
		case size := <-o.Sizes:
			p.shell.width, p.shell.height = size.Width, size.Height
		case <-ctx.Done():
			return ctx.Err()
		}
	} else {
		signal.Notify(resizes, syscall.SIGWINCH) // before the size is read, or a change might be missed
		defer signal.Stop(resizes)
		if w, h, ok := term.Size(); ok {
			p.shell.width, p.shell.height = w, h
		}
	}
	p.tea = tea.NewProgram(p, tea.WithContext(ctx), tea.WithInput(o.In), tea.WithOutput(io.Discard),
		tea.WithoutRenderer(), tea.WithoutSignalHandler(), tea.WithoutCatchPanics())
	done := make(chan struct{})
	told := make(chan struct{})
	go func() {
		defer close(told)
		p.events(resizes, o.Sizes, crashes, done)
	}()
	_, err = p.tea.Run()
	close(done)
	<-told
	p.shell.closeAll()
	term.Leave()
	switch {
	case p.crash != "":
		return fmt.Errorf("the console crashed, and the cluster knows nothing of it: please report this:\n%s", p.crash)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, tea.ErrProgramKilled):
		return term.Err()
	}
	return err
}

// program is the shell on a terminal. It paints at most thirty frames a
// second, and none while nothing changes.
type program struct {
	shell *shell
	term  *terminal.Terminal
	tea   *tea.Program
	plain bool

	painted time.Time
	due     bool
	pressed bool // a key was, and what it did isn't painted
	crash   string
}

// after brings a message later.
func after(d time.Duration, msg tea.Msg) tea.Cmd {
	return tea.Tick(d, func(time.Time) tea.Msg { return msg })
}

type frameMsg struct{}

// crashMsg is a panic in a command.
type crashMsg struct{ what string }

// Init implements tea.Model.
func (p *program) Init() tea.Cmd { return p.guard(p.shell.Init()) }

// Update implements tea.Model.
func (p *program) Update(msg tea.Msg) (model tea.Model, cmd tea.Cmd) {
	defer func() {
		if r := recover(); r != nil {
			cmd = p.crashed(fmt.Sprint(r, "\n", string(debug.Stack())))
		}
	}()
	switch msg := msg.(type) {
	case frameMsg:
		p.due = false
		return p, nil
	case crashMsg:
		return p, p.crashed(msg.what)
	}
	if _, ok := msg.(tea.KeyMsg); ok {
		p.pressed = true
	}
	if p.term.Err() != nil {
		return p, tea.Quit // nobody is there any more
	}
	_, cmd = p.shell.Update(msg)
	return p, p.guard(cmd)
}

func (p *program) crashed(what string) tea.Cmd {
	p.crash = what
	p.term.Leave()
	return tea.Quit
}

// guard turns a panic in a command into a message, so that the terminal is
// left before anything is said.
func (p *program) guard(cmd tea.Cmd) tea.Cmd {
	if cmd == nil {
		return nil
	}
	return func() (msg tea.Msg) {
		defer func() {
			if r := recover(); r != nil {
				msg = crashMsg{fmt.Sprint(r, "\n", string(debug.Stack()))}
			}
		}()
		msg = cmd()
		if batch, ok := msg.(tea.BatchMsg); ok {
			for i, c := range batch {
				batch[i] = p.guard(c)
			}
		}
		return msg
	}
}

// View implements tea.Model. The frame goes to the terminal directly, by cells.
func (p *program) View() string {
	if p.crash != "" {
		return ""
	}
	every := frameEvery
	if p.pressed {
		every = keyEvery
	}
	if wait := every - time.Since(p.painted); wait > 0 {
		if !p.due {
			p.due = true
			time.AfterFunc(wait, func() { p.tea.Send(frameMsg{}) })
		}
		return ""
	}
	defer func() {
		if r := recover(); r != nil {
			what := fmt.Sprint(r, "\n", string(debug.Stack()))
			p.crashed(what)
			go p.tea.Quit()
		}
	}()
	p.painted, p.pressed = time.Now(), false
	frame := p.shell.View()
	if p.plain {
		frame = plainSigns.Replace(frame)
	}
	p.term.Paint(frame, p.shell.width, p.shell.height)
	return ""
}

// plainSigns puts signs of ASCII, as wide, in the place of those that texts have
// beside the theme's glyphs: the daemon's, and where something was cut off.
var plainSigns = strings.NewReplacer("…", "~", "→", ">", "·", "-", "–", "-", "›", ">")

// events tells the shell of the terminal's size, and of a crash of its feed,
// until done is closed.
func (p *program) events(resizes <-chan os.Signal, sizes <-chan Size, crashes <-chan string, done <-chan struct{}) {
	for {
		var size Size
		select {
		case <-done:
			return
		case what := <-crashes:
			p.tea.Send(crashMsg{what})
			continue
		case s, ok := <-sizes:
			if !ok {
				sizes = nil
				continue
			}
			size = s
		case <-resizes:
			w, h, ok := p.term.Size()
			if !ok {
				continue
			}
			size = Size{w, h}
		}
		p.tea.Send(tea.WindowSizeMsg{Width: size.Width, Height: size.Height})
	}
}

// Copy implements host, by OSC 52: the terminal's own clipboard, also over SSH.
func (p *program) Copy(text string) {
	p.term.Emit("\x1b]52;c;" + base64.StdEncoding.EncodeToString([]byte(text)) + "\a")
}

// Redraw implements host.
func (p *program) Redraw() { p.term.Repaint() }

// Suspend implements host.
func (p *program) Suspend() {
	if err := p.term.Suspend(); err != nil {
		p.shell.say(sentence(err), true)
	}
	if w, h, ok := p.term.Size(); ok {
		p.shell.width, p.shell.height = w, h
	}
}

// Editor implements editor: on a local terminal only.
func (p *program) Editor(path string) tea.ExecCommand {
	e := newEditor(path, func(run func() error) error {
		p.term.Leave()
		defer func() {
			if err := p.term.Enter(); err != nil {
				p.shell.say(sentence(err), true)
			}
		}()
		return run()
	})
	e.Stdout, e.Stderr = os.Stdout, os.Stderr
	return e
}

// PlainTerminal tells whether a terminal's font lacks the console's glyphs.
func PlainTerminal(term string) bool {
	return term == "linux" || term == "dumb" || strings.HasPrefix(term, "vt")
}
