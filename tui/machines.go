package tui

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/widgets"
	"fleettop/units/wording"
)

// schedule cordons or drains machines. The same key on those that are so takes
// it back, and only that key does.
func (s *shell) schedule(a keys.Action, target screens.Target) tea.Cmd {
	word, ids := string(a), target.Machines
	if len(ids) == 0 {
		s.say(cmp.Or(target.Why, "There is no machine under the cursor to "+word+"."), true)
		return nil
	}
	want := map[keys.Action]cluster.Schedulability{keys.Cordon: cluster.Cordoned, keys.Drain: cluster.Drained}[a]
	undo := true
	var drained []string
	for _, id := range ids {
		m := s.snap.Machine(id)
		undo = undo && m != nil && m.Schedule == want
		if m != nil && m.Schedule == cluster.Drained {
			drained = append(drained, id)
		}
	}
	if a == keys.Cordon && len(drained) > 0 {
		s.say(fmt.Sprintf("%s is drained, and takes no units: %s takes that back.", s.callAll(drained),
			s.keys.Key(keys.Drain)), true)
		return nil
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
	asked := &widgets.Confirm{Title: "Drain " + wording.Count(len(ids), "machine") + "?", Targets: names,
		Effect: "Their units move to other machines, and they take no more.", Verb: "drain", Value: o}
	s.confirm = asked
	client := s.source.Current()
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), actPatience)
		defer cancel()
		plan, err := client.PlanDrain(ctx, ids...)
		if err != nil {
			return nil // what comes of the order says it
		}
		return planMsg{asked, plan}
	}
}

// scheduled says what came of an order for machines.
func (s *shell) scheduled(msg actedMsg) {
	o, failed := msg.order, error(nil)
	for _, m := range msg.machines {
		if m.Error != nil {
			failed = errors.Join(failed, m.Error)
		}
	}
	if failed != nil {
		s.say(o.notDone(sentence(failed)), true)
	} else {
		var said []string
		for _, r := range o.requests {
			said = append(said, scheduledAs(r.machines.Verb, s.callAll(r.machines.Machines), len(r.machines.Machines)))
		}
		if o.undoes == "the drain" {
			said = append(said, "Units that have moved stay where they are.")
		}
		s.say(join(said, " "), false)
	}
	if back := backFromSchedule(o, msg.machines); back != nil && o.undoes == "" {
		s.offerUndo(o.what(), nil, func() tea.Cmd { return s.carryOut(*back) })
	}
}

// scheduledAs says what machines are after a verb.
func scheduledAs(verb, names string, n int) string {
	takes, is := " takes ", " is "
	if n > 1 {
		takes, is = " take ", " are "
	}
	return names + map[string]string{"cordon": takes + "no more units.", "drain": is + "being drained.",
		"uncordon": takes + "units again."}[verb]
}

// callAll are the names of machines.
func (s *shell) callAll(ids []string) string {
	var names []string
	for _, id := range ids {
		names = append(names, s.snap.Called(id))
	}
	return join(names, ", ")
}

// planMsg is what draining machines would do to their units.
type planMsg struct {
	asked *widgets.Confirm
	plan  *api.DrainPlan
}

// planned tells in the question, if that is still open, what would become of the units.
func (s *shell) planned(m planMsg) {
	if s.confirm != m.asked {
		return
	}
	parts := []string{wording.Count(m.plan.Moves, "unit") + " would move to other machines."}
	if n := len(m.plan.Stranded); n > 0 {
		first := m.plan.Stranded[0]
		text := first.Unit
		if n > 1 {
			text += " and " + wording.Count(n-1, "other")
		}
		parts = append(parts, draw.Clean(fmt.Sprintf("No other place for %s: left there (%s).", text, first.Reason)))
	}
	if n := len(m.plan.Global); n > 0 {
		parts = append(parts, wording.Count(n, "global unit")+" would stop there.")
	}
	m.asked.Effect = join(parts, " ")
}

// progressMsg is how far an order is that takes long.
type progressMsg struct{ api.Progress }

func (s *shell) progress(p api.Progress) {
	if p.Total < 2 || p.Done >= p.Total {
		return
	}
	text := fmt.Sprintf("%d of %d done", p.Done, p.Total)
	if p.Text != "" {
		text += "; " + draw.Clean(p.Text)
	}
	s.say(text+".", false)
}

// switchPower takes machines' power away, or gives it back.
func (s *shell) switchPower(on bool, target screens.Target) tea.Cmd {
	ids := target.Machines
	if s.power == nil {
		return nil
	}
	if len(ids) == 0 {
		s.say(cmp.Or(target.Why, "There is no machine under the cursor."), true)
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
