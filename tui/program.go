package tui

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/daemon/api"
	"fleettop/tui/input"
	"fleettop/tui/keys"
	"fleettop/tui/terminal"
)

// program is the shell on a terminal. It paints at most thirty frames a
// second, and none while nothing changes.
type program struct {
	shell     *shell
	term      *terminal.Terminal
	tea       *tea.Program
	input     *input.Reader
	keys      atomic.Pointer[keys.Map]
	options   *Options
	eight     bool // the terminal has eight colours
	clipboard clipboard
	frame     func(string) string // what the terminal can show of one
	inbox     chan tea.Msg
	editing   atomic.Bool  // an editor has the terminal
	edited    atomic.Value // time.Time: when it last gave it back

	over    chan struct{} // closed when it is to end, whatever it is busy with
	endOnce sync.Once
	why     error // it ends; set before over is closed

	came   uint64        // keys, for the reader's goroutine alone
	taken  atomic.Uint64 // of them
	typing atomic.Bool   // keys are text: a prompt or a question is open

	// What follows belongs to Bubble Tea's goroutine.
	painted time.Time
	due     bool
	pressed bool // a key was, and what it did isn't painted
	crash   string
}

// end ends the console for a reason, nil where the person wants it.
func (p *program) end(why error) {
	p.endOnce.Do(func() {
		p.why = why
		close(p.over)
	})
}

func (p *program) reason() error {
	select {
	case <-p.over:
		return p.why
	default:
		return nil
	}
}

// follow lets a client's acts take as long as they need, and shows how far they are.
func (p *program) follow(c Client) {
	if f, ok := c.(follower); ok {
		f.FollowLong(actPatience, func(now *api.Progress) {
			if now != nil {
				p.post(progressMsg{*now})
			}
		})
	}
}

// post hands a message to the console, or drops it where too many wait.
func (p *program) post(msg tea.Msg) {
	select {
	case p.inbox <- msg:
	default:
	}
}

// forward sends what was posted, however long the console is busy.
func (p *program) forward(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case msg := <-p.inbox:
			p.tea.Send(msg)
		}
	}
}

// inputMsg is the n-th that came from the terminal.
type inputMsg struct {
	n   uint64
	msg tea.Msg
}

// typed takes what came from the terminal. A key to quit that isn't taken
// soon ends the console all the same.
func (p *program) typed(msg tea.Msg) {
	p.came++
	n := p.came
	p.post(inputMsg{n, msg})
	key, ok := msg.(tea.KeyMsg)
	if !ok || key.Paste {
		return
	}
	quits := key.Type == tea.KeyCtrlC
	if !p.typing.Load() {
		quits = quits || p.keys.Load().Action(keys.Overview, key.String()) == keys.Quit
		for _, r := range key.Runes { // typed faster than it is read
			quits = quits || p.keys.Load().Action(keys.Overview, string(r)) == keys.Quit
		}
	}
	if quits {
		time.AfterFunc(hurry, func() {
			if p.taken.Load() < n {
				p.end(nil)
			}
		})
	}
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
	if p.term.Err() != nil {
		return p, tea.Quit // the terminal is gone
	}
	if m, ok := msg.(inputMsg); ok {
		p.taken.Store(m.n)
		p.pressed = true
		msg = m.msg
	}
	if m, ok := msg.(configMsg); ok {
		msg = p.configure(m)
	}
	_, cmd = p.shell.Update(msg)
	p.typing.Store(p.shell.prompt != nil || p.shell.confirm != nil)
	return p, p.guard(cmd)
}

// configure brings changed settings into use, and returns what is to be said of
// them. With a file that says nothing at all everything stays as it is.
func (p *program) configure(m configMsg) configMsg {
	if m.config.Broken {
		m.warnings = append(m.warnings, "The settings stay as they were.")
		return m
	}
	o := *p.options
	o.Config = m.config
	look, frame, err := dressed(&o, p.eight)
	if err != nil {
		m.warnings = append(m.warnings, err.Error())
		return m
	}
	km, warnings := keys.NewMap(m.config.Keys, o.ReadOnly, o.Power != nil)
	m.warnings = append(append(m.warnings, warnings...), look.Warnings...)
	if mouse := m.config.Mouse; mouse != p.options.Config.Mouse {
		p.shell.mouseOn = mouse
		p.Mouse(mouse)
	}
	*p.options, p.frame = o, frame
	p.keys.Store(km)
	p.shell.dress(look, km)
	return m
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
	p.term.Paint(p.frame(p.shell.View()), p.shell.width, p.shell.height)
	return ""
}

// events tells the shell of the size of a terminal elsewhere, and of a crash
// of its feed, until done is closed.
func (p *program) events(sizes <-chan Size, crashes <-chan string, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case what := <-crashes:
			p.post(crashMsg{what})
		case s, ok := <-sizes:
			if !ok {
				sizes = nil
				continue
			}
			p.post(tea.WindowSizeMsg{Width: s.Width, Height: s.Height})
		}
	}
}
