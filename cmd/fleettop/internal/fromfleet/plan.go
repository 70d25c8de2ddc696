// Package fromfleet decides how the units of a running CoreOS fleet, or those of
// a list of files, become a cluster's without a restart.
package fromfleet

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/fleetv1"
	"fleettop/units"
)

// Fleet is what a fleet said of itself.
type Fleet struct {
	Units    []fleetv1.Unit
	States   []fleetv1.UnitState
	Machines []fleetv1.Machine
}

// Cluster is what the units are taken over into.
type Cluster struct {
	Machines []api.MachineInfo
	Hashes   map[string]string // of the units that it has
	// HostUnit returns a unit that a machine has under a file of its host's own.
	HostUnit func(machineID, unit string) (units.HostUnit, error)
}

// Step is what is done with one unit: nothing where there is no verb.
type Step struct {
	Unit    string     `json:"unit"`
	Machine string     `json:"machine,omitempty"` // name of the one that has it now
	Verb    api.Verb   `json:"verb,omitempty"`
	Text    string     `json:"text"` // what is done, for people
	Error   *api.Error `json:"error,omitempty"`
	File    api.File   `json:"-"`
}

// Plan returns a step for each unit, by name.
func Plan(f Fleet, c Cluster) []Step {
	p := planner{fleet: f, cluster: c, templates: map[string]string{}}
	list := slices.Clone(f.Units)
	slices.SortFunc(list, func(a, b fleetv1.Unit) int { return cmp.Compare(a.Name, b.Name) })
	for _, u := range list {
		if n, err := units.ParseName(u.Name); err == nil && n.IsTemplate() {
			if file, err := u.File(); err == nil {
				p.templates[u.Name] = file.Hash()
			}
		}
	}
	steps := make([]Step, 0, len(list))
	for _, u := range list {
		s := Step{Unit: u.Name}
		if e := p.plan(&s, u); e != nil {
			s.Verb, s.Error, s.Text = "", e, e.Error()
		}
		steps = append(steps, s)
	}
	return steps
}

type planner struct {
	fleet     Fleet
	cluster   Cluster
	templates map[string]string // hashes of fleet's
}

// plan fills in the step of a unit, or returns why the unit can't be taken over.
func (p *planner) plan(s *Step, u fleetv1.Unit) *api.Error {
	name, err := units.ParseName(u.Name)
	if err != nil {
		return api.Refuse(api.CodeInvalid, "", "%v", err)
	}
	file, err := u.File()
	if err != nil {
		return api.Refuse(api.CodeInvalid, "", "the file of %s: %v", u.Name, err)
	}
	need, err := file.Requirements(name)
	if err != nil {
		return api.Refuse(api.CodeInvalid, "", "the file of %s: %v", u.Name, err)
	}
	s.File = api.File{Name: u.Name, Content: file.Content(),
		Template: name.IsInstance() && p.templates[name.Template()] == file.Hash()}
	switch hash, known := p.cluster.Hashes[u.Name]; {
	case known && hash == file.Hash():
		s.Text = "is in the cluster already"
		return nil
	case known:
		return api.Refuse(api.CodeConflict, "destroy the one that is not wanted",
			"%s is in the cluster already, with another file", u.Name)
	case name.IsTemplate() || u.DesiredState == units.Inactive || u.DesiredState == "":
		s.Verb, s.Text = api.Submit, "is submitted; nothing of it is on a machine"
		return nil
	case need.Global:
		return p.planGlobal(s, u, file.Hash())
	case u.MachineID == "":
		s.Verb, s.Text = verbOf(u.DesiredState), "had no machine; it is given to one that can take it"
		return nil
	}
	host, e := p.hostUnit(u, u.MachineID, file.Hash())
	if e != nil {
		return e
	}
	s.File.AdoptFrom, s.Machine = u.MachineID, p.label(u.MachineID)
	s.Verb, s.Text = p.adopts(u, host, s.Machine)
	return nil
}

// adopts returns the verb that leaves a unit as it is on its host, and what to say of it.
func (p *planner) adopts(u fleetv1.Unit, host units.HostUnit, on string) (api.Verb, string) {
	running := host.Running(on) == nil
	switch {
	case u.DesiredState == units.Launched && running && host.PID > 0:
		return api.Start, fmt.Sprintf("is taken over where it runs, on %s (PID %d)", on, host.PID)
	case u.DesiredState == units.Launched && running:
		return api.Start, fmt.Sprintf("is taken over where it is, on %s (%s %s)", on, host.Active, host.Sub)
	case u.DesiredState == units.Launched:
		return api.Load, fmt.Sprintf("does not run on %s (%s %s): it is taken over as loaded, and `fleettop start %s` starts it",
			on, host.Active, host.Sub, u.Name)
	}
	return api.Load, fmt.Sprintf("is taken over as loaded, on %s", on)
}

// planGlobal plans for a unit that fleet has on every machine.
func (p *planner) planGlobal(s *Step, u fleetv1.Unit, hash string) *api.Error {
	var runs, rests []string
	for _, st := range p.fleet.States {
		if st.Name != u.Name {
			continue
		}
		host, e := p.hostUnit(u, st.MachineID, hash)
		if e != nil {
			return e
		}
		if on := p.label(st.MachineID); host.Running(on) == nil {
			runs = append(runs, on)
		} else {
			rests = append(rests, on)
		}
	}
	slices.Sort(runs)
	slices.Sort(rests)
	s.File.AdoptFrom = cluster.EveryMachine
	s.Verb, s.Text = api.Load, "is taken over as loaded on every machine"
	switch {
	case u.DesiredState == units.Launched && len(runs) > 0:
		s.Verb, s.Text = api.Start, "is taken over where it runs, on "+strings.Join(runs, ", ")
		if len(rests) > 0 {
			s.Text += "; it is started on " + strings.Join(rests, ", ") + ", where it does not run"
		}
	case u.DesiredState == units.Launched:
		s.Text = "runs on no machine: it is taken over as loaded, and `fleettop start " + u.Name + "` starts it everywhere"
	}
	return nil
}

// hostUnit reads a unit where fleet has it, and refuses one that differs from fleet's.
func (p *planner) hostUnit(u fleetv1.Unit, id, hash string) (units.HostUnit, *api.Error) {
	i := slices.IndexFunc(p.cluster.Machines, func(m api.MachineInfo) bool { return m.ID == id })
	if i < 0 {
		return units.HostUnit{}, api.Refuse(api.CodeConflict,
			"run a fleettop daemon there that joins the cluster, and adopt again",
			"%s is on the machine %s, which is not in this cluster", u.Name, p.fleets(id))
	}
	m := p.cluster.Machines[i]
	if m.Health.State != cluster.Up {
		return units.HostUnit{}, api.Refuse(api.CodeConflict, "adopt again when it is up", "%s is on %s, which is %s", u.Name,
			m.Label(), m.Health.State)
	}
	host, err := p.cluster.HostUnit(id, u.Name)
	if err != nil {
		refusal := new(api.Error)
		if errors.As(err, &refusal) {
			return host, refusal
		}
		return host, api.Refuse(api.CodeUnavailable, "", "%v", err)
	}
	file, err := units.ParseFile(host.Content)
	if err != nil || file.Hash() != hash {
		return host, api.Refuse(api.CodeConflict, "see which one is right, and adopt it by `fleettop adopt "+u.Name+"@"+m.Label()+"`",
			"%s has another file on %s (%s) than the one to be adopted", u.Name, m.Label(), host.Path)
	}
	return host, nil
}

func (p *planner) label(id string) string {
	for _, m := range p.cluster.Machines {
		if m.ID == id {
			return m.Label()
		}
	}
	return cluster.Machine{ID: id}.Label()
}

// fleets is what people call a machine that only fleet knows.
func (p *planner) fleets(id string) string {
	for _, m := range p.fleet.Machines {
		if m.ID == id {
			return fmt.Sprintf("%.8s (%s)", id, m.PrimaryIP)
		}
	}
	return fmt.Sprintf("%.8s", id)
}

func verbOf(d units.DesiredState) api.Verb {
	if d == units.Loaded {
		return api.Load
	}
	return api.Start
}
