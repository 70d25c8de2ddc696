package tui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/widgets"
	"fleettop/units/wording"
)

const (
	actPatience     = 15 * time.Second // for the daemon's answer
	pendingPatience = 30 * time.Second // for what it does after that
)

// verb is what a key asks for.
type verb struct {
	api    api.Verb
	doing  string // the row's word until it is confirmed
	done   string
	past   string // what happens to a unit: it is being …
	asks   bool   // before it is done
	effect string // what will happen, for the question
}

var verbs = map[keys.Action]verb{
	keys.Start: {api.Start, "starting…", "start", "started", false, ""},
	keys.Load:  {api.Load, "loading…", "load", "loaded", false, ""},
	keys.Restart: {api.Restart, "restarting…", "restart", "restarted", true,
		"What runs is stopped and started where it is."},
	keys.Stop: {api.Stop, "stopping…", "stop", "stopped", true,
		"What runs is stopped; it stays loaded on its machine, and start brings it back."},
	keys.Unload: {api.Unload, "unloading…", "unload", "unloaded", true,
		"What runs is stopped and taken from its machine; its file stays known."},
	keys.Destroy: {api.Destroy, "destroying…", "destroy", "destroyed", true,
		"What runs is stopped, and the files are forgotten. There is no way back."},
}

// order is something to be done to targets that are fixed.
type order struct {
	verb     verb
	units    []string
	schedule string // cordon, drain or uncordon
	machines []string

	// What the console showed when the order was sent.
	was       map[string]before
	schedules map[string]cluster.Schedulability

	// Of an order that undoes another one: what it takes back, and the requests that do.
	undoes   string
	requests []request
}

// what is the order as one talks of it: the stop.
func (o order) what() string { return "the " + cmp.Or(o.schedule, o.verb.done) }

type actedMsg struct {
	order    order
	of       *outcome // of units
	results  []api.UnitResult
	machines []api.MachineResult
	err      error
}

type sayMsg struct {
	text string
	bad  bool
}

// asked is a row's word while something is pending.
func (s *shell) asked(unit string) string { return s.pending[unit].word }

// act carries out an action that changes the cluster, or asks before it; ok
// is false for other actions.
func (s *shell) act(a keys.Action, target screens.Target) (cmd tea.Cmd, ok bool) {
	if v, is := verbs[a]; is {
		return s.actOn(v, target), true
	}
	switch a {
	case keys.ShowLog:
		if target.Why != "" {
			s.say(target.Why, true)
			return nil, true
		}
		return s.openLogs(target.Units), true
	case keys.Errors:
		return s.openErrors(target), true
	case keys.Cordon, keys.Drain:
		return s.schedule(a, target), true
	case keys.Drill:
		return s.drill(target), true
	case keys.New:
		s.askNew()
		return nil, true
	case keys.Edit:
		return s.edit(target), true
	case keys.PowerOff, keys.PowerOn:
		return s.switchPower(a == keys.PowerOn, target), true
	}
	return nil, false
}

// actOn does a verb to units, after a question where it can hurt.
func (s *shell) actOn(v verb, target screens.Target) tea.Cmd {
	names := target.Units
	if len(names) == 0 {
		s.say(cmp.Or(target.Why, "There is no unit under the cursor to "+v.done+"."), true)
		return nil
	}
	o := order{verb: v, units: names}
	if !v.asks {
		return s.carryOut(o)
	}
	title := fmt.Sprintf("%s %s?", capital(v.done), wording.Count(len(names), "unit"))
	s.confirm = &widgets.Confirm{Title: title, Targets: names, Effect: join(append(s.everywhere(v, names),
		v.effect), " "), Verb: v.done, Value: o}
	return nil
}

// everywhere says of global units that more is done than to the row under the cursor.
func (s *shell) everywhere(v verb, names []string) []string {
	asked := map[string]bool{}
	for _, name := range names {
		asked[name] = true
	}
	machines := map[string]int{} // of global units
	for _, r := range s.snap.Rows {
		if r.Global && asked[r.Unit] && r.Machine != "" {
			machines[r.Unit]++
		}
	}
	switch global := slices.Sorted(maps.Keys(machines)); {
	case len(global) == 0:
		return nil
	case len(global) == 1:
		return []string{fmt.Sprintf("%s is global: it is %s on %s.", global[0], v.past, allOf(machines[global[0]]))}
	default:
		return []string{fmt.Sprintf("%d of them are global: they are %s on each of their machines.", len(global),
			v.past)}
	}
}

// decision is what is done after a question that isn't about an order.
type decision struct {
	yes   func() tea.Cmd
	again func() tea.Cmd // nil where there is no third way
	no    string         // what is said
}

// answer takes a key for the question.
func (s *shell) answer(key string) tea.Cmd {
	got := s.confirm.Key(key)
	if got == widgets.Open {
		return nil
	}
	d, other := s.confirm.Value.(decision)
	o, _ := s.confirm.Value.(order)
	s.confirm = nil
	switch {
	case got == widgets.Yes && other:
		return d.yes()
	case got == widgets.Yes:
		return s.carryOut(o)
	case got == widgets.Again:
		return d.again()
	}
	s.say(cmp.Or(d.no, "Nothing was done."), false)
	return nil
}

// carryOut sends an order to the daemon.
func (s *shell) carryOut(o order) tea.Cmd {
	if m, ok := s.top().(screens.Marker); ok {
		m.ClearMarks()
	}
	s.undo = nil
	of := s.expect(o)
	switch {
	case o.undoes != "":
	case o.schedule != "":
		o.schedules = map[string]cluster.Schedulability{}
		for _, id := range o.machines {
			if m := s.snap.Machine(id); m != nil {
				o.schedules[id] = m.Schedule
			}
		}
		o.requests = []request{{machines: &api.MachinesRequest{Verb: o.schedule, Machines: o.machines}}}
	default:
		o.was = map[string]before{}
		for _, name := range o.units {
			if rows := s.snap.Of(name); len(rows) > 0 {
				o.was[name] = before{rows[0].Desired, rows[0].Generation}
			}
		}
		o.requests = []request{{units: &api.ActionRequest{Verb: o.verb.api, Units: o.units}}}
	}
	client := s.source.Current()
	return func() tea.Msg {
		ctx, cancel := patient(client)
		defer cancel()
		msg := actedMsg{order: o, of: of}
		for _, r := range o.requests {
			if msg.err = msg.send(ctx, client, r); msg.err != nil {
				break
			}
		}
		if msg.err != nil && ctx.Err() != nil {
			msg.err = errSlow
		}
		return msg
	}
}

// send sends one request of an order, and adds what came of it.
func (m *actedMsg) send(ctx context.Context, client Client, r request) error {
	if r.machines != nil {
		reply, err := client.ScheduleAll(ctx, *r.machines)
		if err == nil {
			m.machines = append(m.machines, reply.Machines...)
		}
		return err
	}
	reply, err := client.Act(ctx, *r.units)
	if err == nil {
		m.results = append(m.results, reply.Results...)
	}
	return err
}

// acted takes the daemon's answer.
func (s *shell) acted(msg actedMsg) {
	o := msg.order
	if msg.err != nil {
		for _, name := range o.units {
			s.unexpect(name)
		}
		s.say(o.notDone(sentence(msg.err)), true)
		return
	}
	if o.schedule != "" {
		s.scheduled(msg)
		return
	}
	var failed []api.UnitResult
	for _, r := range msg.results {
		p, ok := s.pending[r.Name]
		switch {
		case r.Error != nil:
			failed = append(failed, r)
			s.unexpect(r.Name)
		case !r.Changed && o.verb.api != api.Destroy:
			s.unexpect(r.Name)
		case ok:
			p.generation = r.Generation
			p.of.warning += warning([]api.UnitResult{r})
			s.pending[r.Name] = p
		}
	}
	results := msg.results
	begin := ""
	if o.undoes != "" {
		begin = "Undoing " + o.undoes + ": "
	}
	switch {
	case len(failed) == 1:
		s.say(o.notDone(sentence(failed[0].Error)), true)
	case len(failed) > 1:
		s.say(o.notDone(fmt.Sprintf("%d of %d could not be done; %s: %s", len(failed), len(results), failed[0].Name,
			sentence(failed[0].Error))), true)
	case len(results) == 1 && !results[0].Changed && o.verb.api != api.Destroy:
		s.say(s.already(results[0].Name), false)
	case len(results) == 1:
		s.say(begin+results[0].Name+" is being "+o.verb.past+"."+s.global(results[0])+warning(results),
			results[0].Warning != "")
	case len(results) > 1:
		s.say(begin+wording.Count(len(results), "unit")+" are being "+o.verb.past+"."+warning(results), false)
	}
	if back := backFrom(o, results); back != nil && o.undoes == "" {
		s.offerUndo(o.what(), msg.of, func() tea.Cmd { return s.carryOut(*back) })
	}
	s.confirmPending()
}

// notDone says of an order that undoes another one that it didn't.
func (o order) notDone(why string) string {
	if o.undoes == "" {
		return why
	}
	return capital(o.undoes) + " was not undone: " + why
}

// global says of a global unit that more is done than to the row under the cursor.
func (s *shell) global(r api.UnitResult) string {
	on := 0
	for _, row := range s.snap.Of(r.Name) {
		if row.Machine != "" {
			on++
		}
	}
	switch {
	case !r.Global:
		return ""
	case on == 0:
		return " It is global: on every machine that can take it."
	}
	return " It is global: on " + allOf(on) + "."
}

// allOf is each of some machines.
func allOf(machines int) string {
	if machines == 1 {
		return "its 1 machine"
	}
	return fmt.Sprintf("all %d machines", machines)
}

// already says that a unit needed nothing.
func (s *shell) already(name string) string {
	if rows := s.snap.Of(name); len(rows) == 1 && rows[0].Machine != "" {
		return fmt.Sprintf("Nothing to do: %s is %s on %s.", name, rows[0].Word, rows[0].Host)
	}
	return "Nothing to do: " + name + " is as asked."
}

// warning is the first that the daemon had with what it did.
func warning(results []api.UnitResult) string {
	for _, r := range results {
		if r.Warning != "" {
			return " " + draw.Clean(r.Name+": "+r.Warning)
		}
	}
	return ""
}

// errSlow is the daemon's silence to an order. It may carry it out yet.
var errSlow = fmt.Errorf("the daemon has not answered for %s: it may do it yet, "+
	"so see what became of it before trying again", actPatience)

// sentence is an error as a person reads it.
func sentence(err error) string {
	var away *client.UnreachableError
	switch {
	case !errors.As(err, &away):
		return capital(draw.Clean(strings.ReplaceAll(err.Error(), "\n", "; ")))
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ECONNREFUSED):
		return "No daemon answers at " + away.Endpoint + ": nothing was done. Try again when the banner is gone."
	}
	return "The daemon at " + away.Endpoint + " went away meanwhile: see what became of it before trying again."
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
