package tui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/cluster/history"
	"fleettop/journal"
	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/units/wording"
)

const (
	playEvery = 100 * time.Millisecond
	quietMost = 5 * time.Second // of the past, in which nothing happens: more is skipped while it is played
	picksMost = 32              // keys that wait for the moment before theirs
)

// speeds are how many times as fast as it happened the past is played, in the order of the key.
var speeds = []int{0, 1, 4, 16}

// past is a moment of the past that the console shows instead of now. It doesn't move by itself
// unless it is played. Its times are by the cluster's clocks.
type past struct {
	base    *state.Snapshot // the history is of
	history *history.History
	at      time.Time // the moment; zero until the first one is there
	clock   time.Time // at, or later while it is played
	speed   int       // 0 while it isn't played
	ticks   int       // the tick that counts
	busy    bool      // a moment is being made
	picks   []pick    // moments that are wanted after it
}

// pick finds the moment that a key asks for; it says why there is none.
type pick func(h *history.History, at time.Time) (to time.Time, why string)

type (
	// pastMsg is a moment that was made, or why it wasn't.
	pastMsg struct {
		of      *past
		base    *state.Snapshot
		history *history.History
		at      time.Time
		snap    *state.Snapshot
		why     string
	}
	playMsg struct {
		of *past
		n  int
	}
)

// pastGens are the generations of past snapshots: none of now gets so far.
const pastGens = 1 << 62

// seek shows another moment of the past.
func (s *shell) seek(to pick) tea.Cmd {
	if s.past == nil {
		s.past = &past{base: s.live}
	}
	if s.top().Place()&(keys.Logs|keys.Connectivity) != 0 {
		s.show(tabTimeline) // those have no past
	}
	p := s.past
	if p.busy {
		if len(p.picks) < picksMost {
			p.picks = append(p.picks, to)
		}
		return nil
	}
	p.busy = true
	// New events don't move the moment. A moment after those that were known needs them.
	base, h, at, now := p.base, p.history, p.at, s.now()
	if s.live != base && len(s.live.Timeline) > 0 {
		base, h = s.live, nil
	}
	s.pastGen++
	gen := pastGens + s.pastGen
	return func() tea.Msg {
		if h == nil {
			h = base.History(now)
		}
		msg := pastMsg{of: p, base: base, history: h}
		if msg.at, msg.why = to(h, at); msg.why == "" {
			msg.snap = state.Past(h, base, msg.at, gen)
		}
		return msg
	}
}

// tookPast shows a moment that was made.
func (s *shell) tookPast(msg pastMsg) tea.Cmd {
	p := msg.of
	if s.past != p {
		return nil // now is shown again
	}
	p.busy = false
	if msg.why != "" {
		p.speed, p.picks = 0, nil
		s.say(msg.why, false)
		if p.at.IsZero() {
			return s.leavePast()
		}
		if msg.why == noneLater {
			return s.leavePast()
		}
		return nil
	}
	p.base, p.history, p.at, s.snap = msg.base, msg.history, msg.at, msg.snap
	if p.clock.Before(p.at) || p.speed == 0 {
		p.clock = p.at
	}
	if len(p.picks) > 0 {
		next := p.picks[0]
		p.picks = p.picks[1:]
		return s.seek(next)
	}
	return nil
}

// leavePast shows now again.
func (s *shell) leavePast() tea.Cmd {
	s.past, s.snap = nil, s.live
	return nil
}

// noneLater ends the past.
const noneLater = "That was the last event: this is now."

// earlier is the event before the moment.
func (s *shell) earlier() pick {
	asked := false
	if list := s.live.Timeline; s.past != nil && len(list) > 0 && !s.past.at.After(list[0].Begins()) {
		asked = s.loadOlder()
	}
	return func(h *history.History, at time.Time) (time.Time, string) {
		if at.IsZero() {
			at = h.Now().Time.Add(1)
		}
		to, ok := h.Before(at)
		if ok {
			return to, ""
		}
		if len(h.Events()) == 0 {
			return to, "There is no past to show: the timeline is empty."
		}
		if asked {
			return to, "This is the oldest event known here. The daemon is asked for older ones: press the key again."
		}
		return to, "This is the oldest event: the cluster keeps no older ones."
	}
}

// later is the event after the moment.
func later(h *history.History, at time.Time) (time.Time, string) {
	to, ok := h.After(at)
	if !ok {
		return to, noneLater
	}
	return to, ""
}

// moment is a time, where the timeline reaches back to it.
func (s *shell) moment(t time.Time, asked bool) pick {
	return func(h *history.History, _ time.Time) (time.Time, string) {
		if _, ok := h.Before(t.Add(1)); ok {
			return t, ""
		}
		why := "The timeline doesn't reach back to " + t.In(s.now().Location()).Format("2006-01-02 15:04:05") + "."
		if asked {
			why += " The daemon is asked for older events: try once more."
		}
		return t, why
	}
}

// step goes to the event before, or after.
func (s *shell) step(forward bool) tea.Cmd {
	if s.past == nil && forward {
		s.say("This is now: "+s.keys.Key(keys.StepBack)+" goes to the event before.", false)
		return nil
	}
	if s.past != nil {
		s.past.speed = 0
	}
	if forward {
		return s.seek(later)
	}
	return s.seek(s.earlier())
}

// loadOlder asks for the events before those that are known here, where they are needed. It
// reports whether it did: what it asked for once isn't there.
func (s *shell) loadOlder() bool {
	list := s.live.Timeline
	if len(list) == 0 || list[0].Key() == s.oldest {
		return false
	}
	s.oldest = list[0].Key()
	s.source.LoadOlder()
	return true
}

// chosenMoment is the moment of what is under the cursor: an event, the beginning of a failover,
// or the last that happened to a unit or a machine. It is zero for none.
func (s *shell) chosenMoment() time.Time {
	t := s.top().Target(s.env())
	if !t.At.IsZero() {
		return t.At
	}
	about := append(slices.Clone(t.Units), t.Machines...)
	for i := len(s.snap.Timeline) - 1; i >= 0 && len(about) > 0; i-- {
		e := s.snap.Timeline[i]
		if slices.Contains(about, e.Unit) || slices.Contains(about, e.Machine) && e.Machine != "" {
			return e.Begins()
		}
		for _, ev := range e.Block {
			if ev.Unit != "" && slices.Contains(about, ev.Unit) {
				return e.Begins()
			}
		}
	}
	return time.Time{}
}

// showThen shows the cluster at the moment of what is under the cursor.
func (s *shell) showThen() tea.Cmd {
	at := s.chosenMoment()
	if at.IsZero() {
		s.say("The timeline has no event of what is under the cursor: "+s.keys.Key(keys.StepBack)+" goes to the newest one.", true)
		return nil
	}
	return s.seek(s.moment(at, false))
}

// pastCommand is :past TIME.
func (s *shell) pastCommand(args []string) tea.Cmd {
	if len(args) == 0 {
		return s.seek(s.earlier())
	}
	t, err := journal.ParseTimeOrAge(strings.Join(args, " "), s.now())
	switch {
	case err != nil:
		s.say(sentence(err), true)
		return nil
	case t.After(s.now()):
		s.say(t.Format("2006-01-02 15:04:05")+" is not past yet: give an earlier time.", true)
		return nil
	}
	t = t.Add(s.live.Ahead)
	asked := false
	if list := s.live.Timeline; len(list) > 0 && t.Before(list[0].Begins()) {
		asked = s.loadOlder()
	}
	return s.seek(s.moment(t, asked))
}

// play plays the past on, at the next of the speeds.
func (s *shell) play() tea.Cmd {
	p := s.past
	if p == nil {
		s.say("This is now: "+s.keys.Key(keys.StepBack)+" goes into the past, from where it can be played.", false)
		return nil
	}
	p.speed = speeds[(slices.Index(speeds, p.speed)+1)%len(speeds)]
	p.ticks++
	if p.speed == 0 {
		p.clock = p.at
		return nil
	}
	return s.after(playEvery, playMsg{p, p.ticks})
}

// played moves the clock of the past on.
func (s *shell) played(msg playMsg) tea.Cmd {
	p := msg.of
	if s.past != p || p.speed == 0 || msg.n != p.ticks {
		return nil
	}
	again := s.after(playEvery, playMsg{p, p.ticks})
	if p.busy || p.history == nil {
		return again
	}
	next, ok := p.history.After(p.at)
	if !ok {
		p.speed, p.clock = 0, p.at
		s.say("This is the last event: "+s.keys.Key(keys.Back)+" goes back to now.", false)
		return nil
	}
	p.clock = p.clock.Add(playEvery * time.Duration(p.speed))
	if next.Sub(p.clock) > quietMost && p.clock.Sub(p.at) > quietMost {
		p.clock = next.Add(-time.Second)
	}
	if p.clock.Before(next) {
		return again
	}
	return tea.Batch(again, s.seek(s.moment(p.clock, false)))
}

// notPast says why an action isn't done while the past is shown; empty for one that is.
func (s *shell) notPast(a keys.Action) string {
	if s.past == nil {
		return ""
	}
	for _, b := range keys.Table() {
		if b.Action == a && b.Acts {
			return "Nothing can be done in the past: " + s.keys.Key(keys.Back) + " goes back to now, to " + b.Word + "."
		}
	}
	switch a {
	case keys.Undo:
		return "Nothing can be undone in the past: " + s.keys.Key(keys.Back) + " goes back to now."
	case keys.ShowLog, keys.GoLogs, keys.Panel:
		return "Logs are shown as of now: " + s.keys.Key(keys.Back) + " goes back to now."
	case keys.GoReach:
		return "Who reached whom is not recorded: " + s.keys.Key(keys.Back) + " goes back to now."
	}
	return ""
}

// pastHeader says that the past is shown, and how to move in it.
func (s *shell) pastHeader(b *draw.Buf) {
	t, p := s.theme, s.past
	b.Base(t.Past)
	text := " PAST "
	clock := "…"
	if !p.at.IsZero() {
		at := s.shownAt()
		clock = at.Format("15:04:05")
		if now := s.now(); at.YearDay() != now.YearDay() || at.Year() != now.Year() {
			clock = at.Format("2006-01-02 15:04:05")
		}
		ago := wording.Span(s.now().Round(0).Add(s.live.Ahead).Sub(at))
		clock += " (" + ago + " ago)"
	}
	key := s.keys.Key
	moves := fmt.Sprintf("%s %s step", key(keys.StepBack), key(keys.StepForward))
	play := key(keys.Play) + " play"
	if p.speed > 0 {
		play = fmt.Sprintf("%dx, %s faster", p.speed, key(keys.Play))
		if p.speed == speeds[len(speeds)-1] {
			play = fmt.Sprintf("%dx, %s stops", p.speed, key(keys.Play))
		}
	}
	dot := " " + t.Dot + " "
	now := key(keys.Back) + " now"
	news := ""
	if n := len(s.live.Timeline); n > 0 && p.history != nil {
		if last := s.live.Timeline[n-1].Event; last.Time.After(p.history.Now().Time) {
			news = dot + "news since"
		}
	}
	b.Text(longest(s.width-1, text+clock+dot+moves+dot+play+dot+now+news, text+clock+dot+moves+dot+play+dot+now,
		text+clock+dot+key(keys.StepBack)+" "+key(keys.StepForward)+dot+key(keys.Play)+dot+now, text+clock+dot+now), t.Past)
	b.To(s.width)
	b.End()
}

// shownAt is what the time is on the screens.
func (s *shell) shownAt() time.Time {
	if s.past != nil && !s.past.at.IsZero() {
		return s.past.clock.In(s.now().Location()) // the clock that a person here reads
	}
	return s.now()
}

// liveEnv is env for what goes on behind the past that is shown.
func (s *shell) liveEnv() *screens.Env {
	env := s.env()
	env.Snap, env.Trends, env.Now, env.Past, env.Pending = s.live, &s.trends, s.now(), false, s.asked
	return env
}
