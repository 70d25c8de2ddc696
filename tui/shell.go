package tui

import (
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/screens/help"
	"fleettop/tui/screens/logs"
	"fleettop/tui/screens/machinelist"
	"fleettop/tui/screens/overview"
	"fleettop/tui/screens/timeline"
	"fleettop/tui/screens/unitdetail"
	"fleettop/tui/screens/unitlist"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
)

// tabs are the screens one switches between; others are drilled into.
const (
	tabOverview = iota
	tabUnits
	tabMachines
	tabTimeline
	tabLogs
	tabHelp
	tabCount
)

// shell is the console: it routes keys and snapshots to screens, asks before
// what can't be undone, and tells what came of it.
type shell struct {
	setup
	snap      *state.Snapshot // shown
	live      *state.Snapshot // the newest
	past      *past           // shown instead; nil for now
	pastGen   uint64
	oldest    string // the timeline's first entry when older ones were asked for
	trends    state.Trends
	width     int
	height    int
	headLines int // of the last frame

	tabs    [tabCount]screens.Screen
	tab     int
	stack   []screens.Screen // drilled into, above the tab
	opener  *place           // where the log was opened from; nil unless it is shown since
	filters map[screens.Screen]state.Query
	panel   *logs.Screen // the log below a list; nil while hidden

	prompt  *prompt
	confirm *widgets.Confirm
	notice  notice
	aside   notice // said after the notice, which doesn't take its place
	undo    *undo  // of the last act; nil where it can't be undone
	pending map[string]pending
	drafts  map[string]string   // by unit: texts from the editor that were refused
	history map[string][]string // by prompt: what was typed, the newest last

	polled  time.Time // the settings' files
	looking bool
	ticking time.Duration // of the tick under way; 0 for none
	tick    int           // the one that counts
}

// notice is the last line's word on what was done.
type notice struct {
	text  string
	bad   bool
	until time.Time
}

const noticeFor = 8 * time.Second

type (
	snapshotMsg struct{ snap *state.Snapshot }
	tickMsg     struct{ n int }
)

func newShell(s setup) *shell {
	sh := &shell{setup: s, snap: &state.Snapshot{}, filters: map[screens.Screen]state.Query{},
		pending: map[string]pending{}, drafts: map[string]string{}, history: map[string][]string{}}
	sh.live = sh.snap
	sh.tabs = [tabCount]screens.Screen{overview.New(), unitlist.New(""), machinelist.New(), timeline.New(), logs.New(nil),
		help.New()}
	return sh
}

// Init implements tea.Model.
func (s *shell) Init() tea.Cmd { return tea.Batch(s.await, s.settle()) }

// await brings the next snapshot.
func (s *shell) await() tea.Msg {
	if snap, ok := <-s.source.Snapshots(); ok {
		return snapshotMsg{snap}
	}
	return nil
}

// env is what screens go by now.
func (s *shell) env() *screens.Env {
	env := &screens.Env{Theme: s.theme, Keys: s.keys, Snap: s.snap, Trends: &s.trends, Now: s.shownAt(), Client: current{s.source},
		Pending: s.asked, Filter: s.filters[s.top()], Demo: s.power != nil, Remote: s.remote}
	if s.past != nil && !s.past.at.IsZero() {
		env.Past, env.Trends, env.Pending = true, &state.Trends{}, func(string) string { return "" }
	}
	return env
}

// top is the screen that is shown.
func (s *shell) top() screens.Screen {
	if n := len(s.stack); n > 0 {
		return s.stack[n-1]
	}
	return s.tabs[s.tab]
}

// Update implements tea.Model.
func (s *shell) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.width, s.height = msg.Width, msg.Height
		s.host.Redraw()
	case snapshotMsg:
		s.live = msg.snap
		if s.past == nil || s.past.at.IsZero() {
			s.snap = s.live
		}
		s.trends.Note(s.live, s.now())
		s.confirmPending()
		cmd = tea.Batch(s.await, s.relay(msg))
	case tickMsg:
		if msg.n != s.tick {
			return s, nil
		}
		s.ticking = 0
		cmd = tea.Batch(s.relay(screens.Tick{}), s.pollSettings())
	case tea.KeyMsg:
		cmd = s.keysOf(msg)
	case tea.MouseMsg:
		cmd = s.mouse(msg)
	case pastMsg:
		cmd = s.tookPast(msg)
	case playMsg:
		cmd = s.played(msg)
	case actedMsg:
		s.acted(msg)
	case planMsg:
		s.planned(msg)
	case drillPlanMsg:
		s.drillPlanned(msg)
	case drillBegunMsg:
		cmd = s.drillBegun(msg)
	case progressMsg:
		s.progress(msg.Progress)
	case editMsg:
		cmd = s.edited(msg)
	case sentMsg:
		s.sent(msg)
	case existsMsg:
		s.askOverwrite(msg)
	case shellMsg:
		s.shellEnded(msg)
	case historyMsg:
		s.historyFailed(msg.err)
	case configMsg:
		s.toldOf(msg)
	case sayMsg:
		s.say(msg.text, msg.bad)
	case screens.Say:
		s.say(msg.Text, false)
	default:
		cmd = s.relay(msg)
	}
	return s, tea.Batch(cmd, s.settle())
}

// relay hands a message to the screens that may wait for it.
func (s *shell) relay(msg tea.Msg) tea.Cmd {
	env := s.liveEnv()
	var cmds []tea.Cmd
	for _, sc := range append(s.drilled(), s.tabs[tabLogs], s.tabs[s.tab]) {
		cmds = append(cmds, sc.Update(env, msg))
	}
	if s.panel != nil {
		cmds = append(cmds, s.panel.Update(env, msg))
	}
	return tea.Batch(cmds...)
}

// settle sees to what follows from the state after a message: whether figures
// are wanted, what the panel shows, and when the clock next matters.
func (s *shell) settle() tea.Cmd {
	place := s.top().Place()
	if look := place&(keys.Overview|keys.Units|keys.Machines|keys.Detail) != 0; look != s.looking {
		s.looking = look
		s.source.Look(look)
	}
	return tea.Batch(s.followPanel(), s.clock())
}

// clock keeps one tick under way: ten a second while a stopwatch shows tenths, else one.
func (s *shell) clock() tea.Cmd {
	every := time.Second
	if s.past == nil && (s.snap.Quick.After(s.now()) || s.doubtful()) {
		every = 100 * time.Millisecond
	}
	if s.ticking != 0 && s.ticking <= every {
		return nil
	}
	s.ticking = every
	s.tick++
	n := s.tick
	// On the full second, so that all ages change at once.
	wait := every
	if every == time.Second {
		wait = time.Second - time.Duration(s.now().Nanosecond())
	}
	return s.after(wait, tickMsg{n})
}

func (s *shell) doubtful() bool {
	for _, m := range s.snap.Machines {
		if m.Word == "suspect" {
			return true
		}
	}
	return false
}

// quit ends what runs and then the program.
func (s *shell) quit() tea.Cmd {
	s.closeAll()
	return tea.Quit
}

func (s *shell) closeAll() {
	for _, sc := range append(s.drilled(), s.tabs[:]...) {
		closeScreen(sc)
	}
	s.stack, s.opener = nil, nil
	if s.panel != nil {
		s.panel.Close()
		s.panel = nil
	}
}

func closeScreen(sc screens.Screen) {
	if c, ok := sc.(screens.Closer); ok {
		c.Close()
	}
}

// place is a tab, and what was drilled into above it.
type place struct {
	tab   int
	stack []screens.Screen
}

// drilled are the screens above tabs, shown or to come back to.
func (s *shell) drilled() []screens.Screen {
	if s.opener == nil {
		return slices.Clone(s.stack)
	}
	return slices.Concat(s.stack, s.opener.stack)
}

// show switches to a tab.
func (s *shell) show(tab int) tea.Cmd {
	for _, sc := range s.drilled() {
		closeScreen(sc)
		delete(s.filters, sc)
	}
	s.stack, s.tab, s.opener = nil, tab, nil
	return nil
}

// open drills into a screen.
func (s *shell) open(sc screens.Screen) tea.Cmd {
	s.stack = append(s.stack, sc)
	return start(s.liveEnv(), sc)
}

// starter is a screen that has something to fetch.
type starter interface {
	Start(*screens.Env) tea.Cmd
}

func start(env *screens.Env, sc screens.Screen) tea.Cmd {
	if st, ok := sc.(starter); ok {
		return st.Start(env)
	}
	return nil
}

// back takes back one thing: marks, the filter, the screen, the log, the tab.
func (s *shell) back() tea.Cmd {
	top := s.top()
	if s.past != nil {
		return s.leavePast()
	}
	if m, ok := top.(screens.Marker); ok && m.Marked() > 0 {
		s.clearMarks(m)
		return nil
	}
	if !s.filters[top].Empty() {
		delete(s.filters, top)
		return nil
	}
	if intent := top.Do(s.env(), keys.Back); intent != nil {
		return s.intend(intent)
	}
	if n := len(s.stack); n > 0 {
		closeScreen(top)
		s.stack = s.stack[:n-1]
		return nil
	}
	if from := s.opener; from != nil {
		s.tab, s.stack, s.opener = from.tab, from.stack, nil
		return nil
	}
	return s.show(tabOverview)
}

// intend does what a screen asks for.
func (s *shell) intend(i screens.Intent) tea.Cmd {
	switch i := i.(type) {
	case screens.OpenUnit:
		return s.open(unitdetail.New(i.Unit))
	case screens.OpenMachine:
		return s.open(unitlist.New(i.ID))
	case screens.LoadOlder:
		s.loadOlder()
	case screens.OpenLogs:
		return s.openLogs(i.Units)
	case screens.Run:
		return i.Cmd
	case screens.Say:
		s.say(i.Text, false)
	case screens.Save:
		return s.saveTo(i.Path, false, false)
	case screens.Ask:
		s.prompt = &prompt{Prompt: widgets.NewPrompt(i.Label, i.Text).WithHistory(s.history[i.Label])}
		if i.Replace {
			s.prompt.Replace()
		}
		s.prompt.done = func(text string) tea.Cmd { return s.intend(i.Done(text)) }
	}
	return nil
}

// warn says what is wrong with the settings, for as long as it takes to read that.
func (s *shell) warn(list []string) {
	s.say(strings.Join(list, "; "), true)
	s.notice.until = s.now().Add(time.Duration(len(list)) * 2 * noticeFor)
}

// said is what the last line says now; empty for nothing.
func (s *shell) said() (text string, bad bool) {
	if s.now().Before(s.notice.until) {
		text, bad = s.notice.text, s.notice.bad
	}
	if s.now().Before(s.aside.until) {
		text, bad = strings.TrimSpace(text+" "+s.aside.text), bad || s.aside.bad
	}
	return text, bad
}

func (s *shell) say(text string, bad bool) {
	s.notice = notice{text, bad, s.now().Add(noticeFor)}
}
