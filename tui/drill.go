package tui

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/daemon/api"
	"fleettop/tui/draw"
	"fleettop/tui/screens"
	"fleettop/tui/screens/drill"
	"fleettop/tui/widgets"
	"fleettop/units/wording"
)

// drillFor is how long a drill from here takes a machine out; the verb has others.
const drillFor = 10 * time.Second

// drillPlanMsg is what a drill would do.
type drillPlanMsg struct {
	plan *api.DrillPlan
	err  error
}

// drillBegunMsg is what came of the request for one.
type drillBegunMsg struct {
	plan  *api.DrillPlan
	reply *api.DrillReply
	err   error
}

// drill asks what a loss of a machine's power would do, before it asks the person.
func (s *shell) drill(target screens.Target) tea.Cmd {
	id := only(target.Machines)
	switch {
	case len(target.Machines) > 1:
		s.say("A drill is of one machine: take the marks of the others away.", true)
		return nil
	case id == "":
		s.say(cmp.Or(target.Why, "There is no machine under the cursor for a drill."), true)
		return nil
	}
	client := s.source.Current()
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), actPatience)
		defer cancel()
		plan, err := client.PlanDrill(ctx, id)
		return drillPlanMsg{plan, err}
	}
}

// drillPlanned shows what would happen, and has the machine's name typed.
func (s *shell) drillPlanned(m drillPlanMsg) {
	switch {
	case m.err != nil:
		s.say(sentence(m.err), true)
		return
	case m.plan.Refusal != nil:
		s.say(sentence(m.plan.Refusal), true)
		return
	case s.confirm != nil || s.prompt != nil: // the person is at something else by now
		return
	}
	p, name := m.plan, m.plan.MachineName
	var targets []string
	for _, move := range p.Moves {
		targets = append(targets, fmt.Sprintf("%s → %s", move.Unit, move.ToName))
	}
	for _, u := range p.Nowhere {
		targets = append(targets, u.Unit+" has nowhere to go: "+draw.Clean(u.Reason))
	}
	for _, unit := range p.Global {
		targets = append(targets, unit+" is global, and away there")
	}
	if len(targets) == 0 {
		targets = []string{"No unit runs there."}
	}
	effect := []string{fmt.Sprintf("Its units are killed, and it is silent for %s, as a machine without power. It comes back by itself.",
		wording.Age(drillFor))}
	if p.Leader {
		effect = append(effect, "It leads the cluster: another machine takes that over first.")
	}
	if n := len(p.Nowhere); n > 0 {
		effect = append(effect, wording.Count(n, "unit")+" would be away as long.")
	}
	s.confirm = &widgets.Confirm{Title: fmt.Sprintf("Drill: what if %s lost its power?", name), Targets: targets,
		Effect: strings.Join(effect, " "), Verb: "take it out", Word: name,
		Value: decision{yes: func() tea.Cmd { return s.beginDrill(p) }}}
}

func (s *shell) beginDrill(plan *api.DrillPlan) tea.Cmd {
	client := s.source.Current()
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), actPatience)
		defer cancel()
		// What has nowhere to go was in the question.
		reply, err := client.Drill(ctx, plan.Machine, api.DrillRequest{Seconds: drillFor.Seconds(), Nowhere: true})
		return drillBegunMsg{plan, reply, err}
	}
}

// drillBegun opens the report, which grows as the drill goes on.
func (s *shell) drillBegun(m drillBegunMsg) tea.Cmd {
	if m.err != nil {
		s.say(sentence(m.err), true)
		return nil
	}
	return s.open(drill.New(m.plan, *m.reply, s.now()))
}
