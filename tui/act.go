package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
	"fleettop/units"
)

const (
	actPatience     = 15 * time.Second
	pendingPatience = 30 * time.Second
)

// verb is what a key asks for.
type verb struct {
	api    api.Verb
	doing  string // the row's word until it is confirmed
	done   string
	asks   bool   // before it is done
	effect string // what will happen, for the question
}

var verbs = map[keys.Action]verb{
	keys.Start:   {api.Start, "starting…", "start", false, ""},
	keys.Load:    {api.Load, "loading…", "load", false, ""},
	keys.Restart: {api.Restart, "restarting…", "restart", false, "They are stopped and started where they are."},
	keys.Stop:    {api.Stop, "stopping…", "stop", true, "What runs is stopped; it stays loaded on its machine, and start brings it back."},
	keys.Unload:  {api.Unload, "unloading…", "unload", true, "What runs is stopped and taken from its machine; its file stays known."},
	keys.Destroy: {api.Destroy, "destroying…", "destroy", true, "What runs is stopped, and the files are forgotten. There is no way back."},
}

// order is something to be done to targets that are fixed.
type order struct {
	verb     verb
	units    []string
	schedule string // cordon, drain or uncordon
	machines []string
}

type actedMsg struct {
	order order
	reply *api.ActionReply
	err   error
}

type sayMsg struct {
	text string
	bad  bool
}

// pending is what was asked of a unit and isn't confirmed.
type pending struct {
	word       string
	verb       api.Verb
	generation int64 // that is to be carried out; 0 until the daemon told it
	since      time.Time
}

// asked is a row's word while something is pending.
func (s *shell) asked(unit string) string { return s.pending[unit].word }

// act carries out an action that changes the cluster, or asks before it; ok
// is false for other actions.
func (s *shell) act(a keys.Action, target screens.Target) (cmd tea.Cmd, ok bool) {
	if v, is := verbs[a]; is {
		return s.actOn(v, target.Units), true
	}
	switch a {
	case keys.ShowLog:
		return s.openLogs(target.Units), true
	case keys.Cordon, keys.Drain:
		return s.schedule(string(a), target.Machines), true
	case keys.New:
		s.askNew()
		return nil, true
	case keys.Edit:
		return s.edit(target.Units), true
	case keys.PowerOff, keys.PowerOn:
		return s.switchPower(a == keys.PowerOn, target.Machines), true
	}
	return nil, false
}

// actOn does a verb to units, after a question where it can hurt.
func (s *shell) actOn(v verb, names []string) tea.Cmd {
	if len(names) == 0 {
		s.say("There is no unit under the cursor to "+v.done+".", true)
		return nil
	}
	o := order{verb: v, units: names}
	if !v.asks && (v.api != api.Restart || len(names) == 1) {
		return s.carryOut(o)
	}
	title := fmt.Sprintf("%s %s?", capital(v.done), widgets.Plural(len(names), "unit"))
	s.confirm = &widgets.Confirm{Title: title, Targets: names, Effect: v.effect, Verb: v.done, Value: o}
	return nil
}

// schedule cordons or drains machines; one that is so already takes units again.
func (s *shell) schedule(word string, ids []string) tea.Cmd {
	if len(ids) == 0 {
		s.say("There is no machine under the cursor to "+word+".", true)
		return nil
	}
	undo := true
	for _, id := range ids {
		m := s.snap.Machine(id)
		undo = undo && m != nil && (m.Schedule == cluster.Drained || m.Schedule == cluster.Cordoned && word == "cordon")
	}
	if undo {
		word = "uncordon"
	}
	o := order{schedule: word, machines: ids}
	if word != "drain" {
		return s.carryOut(o)
	}
	var names []string
	for _, id := range ids {
		names = append(names, s.snap.Called(id))
	}
	s.confirm = &widgets.Confirm{Title: "Drain " + widgets.Plural(len(ids), "machine") + "?", Targets: names,
		Effect: "Their units move to other machines, and they take no more.", Verb: "drain", Value: o}
	return nil
}

// answer takes a key for the question.
func (s *shell) answer(key string) tea.Cmd {
	switch s.confirm.Key(key) {
	case widgets.Yes:
		o := s.confirm.Value.(order)
		s.confirm = nil
		return s.carryOut(o)
	case widgets.No:
		s.confirm = nil
		s.say("Nothing was done.", false)
	}
	return nil
}

// carryOut sends an order to the daemon.
func (s *shell) carryOut(o order) tea.Cmd {
	if m, ok := s.top().(screens.Marker); ok {
		m.ClearMarks()
	}
	for _, name := range o.units {
		s.pending[name] = pending{word: o.verb.doing, verb: o.verb.api, since: s.now()}
	}
	client := s.source.Current()
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), actPatience)
		defer cancel()
		msg := actedMsg{order: o}
		if o.schedule != "" {
			for _, id := range o.machines {
				_, err := client.Schedule(ctx, id, o.schedule)
				msg.err = errors.Join(msg.err, err)
			}
			return msg
		}
		msg.reply, msg.err = client.Act(ctx, api.ActionRequest{Verb: o.verb.api, Units: o.units})
		return msg
	}
}

// acted takes the daemon's answer.
func (s *shell) acted(msg actedMsg) {
	o := msg.order
	if msg.err != nil {
		for _, name := range o.units {
			delete(s.pending, name)
		}
		s.say(sentence(msg.err), true)
		return
	}
	if o.schedule != "" {
		s.say(map[string]string{"cordon": "%s takes no more units.", "drain": "%s is being drained.", "uncordon": "%s takes units again."}[o.schedule], false)
		s.notice.text = fmt.Sprintf(s.notice.text, s.callAll(o.machines))
		return
	}
	var failed []api.UnitResult
	for _, r := range msg.reply.Results {
		p, ok := s.pending[r.Name]
		switch {
		case r.Error != nil:
			failed = append(failed, r)
			delete(s.pending, r.Name)
		case !r.Changed && o.verb.api != api.Destroy:
			delete(s.pending, r.Name)
		case ok:
			p.generation = r.Generation
			s.pending[r.Name] = p
		}
	}
	s.confirmPending()
	switch {
	case len(failed) == 1:
		s.say(sentence(failed[0].Error), true)
	case len(failed) > 1:
		s.say(fmt.Sprintf("%d of %d could not be done; %s: %s", len(failed), len(msg.reply.Results), failed[0].Name, sentence(failed[0].Error)), true)
	case len(msg.reply.Results) == 1 && !msg.reply.Results[0].Changed && o.verb.api != api.Destroy:
		s.say(msg.reply.Results[0].Name+" was so already.", false)
	}
}

func (s *shell) callAll(ids []string) string {
	var names []string
	for _, id := range ids {
		names = append(names, s.snap.Called(id))
	}
	return join(names, ", ")
}

// confirmPending drops what the stream has confirmed, or what took too long:
// the row's own state says more by then.
func (s *shell) confirmPending() {
	for name, p := range s.pending {
		rows := s.snap.Of(name)
		if s.now().Sub(p.since) > pendingPatience || p.confirmed(rows) {
			delete(s.pending, name)
		}
	}
}

func (p pending) confirmed(rows []*state.Row) bool {
	if p.verb == api.Destroy {
		return len(rows) == 0
	}
	if p.generation == 0 {
		return false
	}
	for _, r := range rows {
		switch {
		case r.Generation < p.generation:
			return false
		case r.Machine == "":
			// Nowhere: as wanted, or its own word says why.
			if r.Desired != units.Inactive && r.Word == "waiting" {
				return false
			}
		case r.Leaving || r.Carried < p.generation || r.Mood == state.Busy:
			return false
		}
	}
	return true
}

// switchPower takes machines' power away, or gives it back.
func (s *shell) switchPower(on bool, ids []string) tea.Cmd {
	if s.power == nil {
		return nil
	}
	if len(ids) == 0 {
		s.say("There is no machine under the cursor.", true)
		return nil
	}
	power, name := s.power, s.callAll(ids)
	return func() tea.Msg {
		var errs error
		for _, id := range ids {
			if on {
				errs = errors.Join(errs, power.On(id))
			} else {
				errs = errors.Join(errs, power.Off(id))
			}
		}
		switch {
		case errs != nil:
			return sayMsg{sentence(errs), true}
		case on:
			return sayMsg{name + " was switched on.", false}
		}
		return sayMsg{name + " lost its power.", false}
	}
}

// sentence is an error as a person reads it.
func sentence(err error) string {
	var away *api.UnreachableError
	if errors.As(err, &away) {
		return "No daemon answers at " + away.Endpoint + ": nothing was done. Try again when the banner is gone."
	}
	return capital(draw.Clean(strings.ReplaceAll(err.Error(), "\n", "; ")))
}

func capital(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	// A name stays as it is written.
	for _, r := range s {
		if r == ' ' || r == ':' {
			break
		}
		if r == '.' || r == '@' {
			return s
		}
	}
	return string(s[0]-32) + s[1:]
}
