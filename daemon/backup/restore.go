package backup

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/units"
)

// Plan is what a restore changes, and what it leaves out. It is decided from a
// backup and a snapshot, and carried out by who asked for it.
type Plan struct {
	Reply    api.RestoreReply
	Create   []cluster.Unit    // of generation 1
	Machines []cluster.Machine // of the backup, whose marks and metadata are to be set
}

// NewPlan decides what restoring a backup would change in a cluster. What the
// cluster has already stays: a restore that was interrupted goes on when it is
// asked for again. An error is about the backup.
func NewPlan(c *Content, snap *cluster.Snapshot, o api.RestoreOptions, by string, now time.Time) (*Plan, error) {
	p := &Plan{Reply: api.RestoreReply{DryRun: o.DryRun, Events: len(c.Events), Units: []api.RestoredUnit{},
		Machines: []api.RestoredMachine{},
		Backup: api.BackupInfo{Cluster: c.Cluster, Revision: c.Revision, Time: c.Time, Machine: c.Machine,
			Version: c.Software}}}
	byName := make(map[string]Unit, len(c.Units))
	for _, u := range c.Units {
		byName[u.Name] = u
	}
	for _, u := range slices.SortedFunc(maps.Values(byName), func(a, b Unit) int { return strings.Compare(a.Name, b.Name) }) {
		if err := p.unit(u, byName, snap, o.Inactive, by, now); err != nil {
			return nil, err
		}
	}
	machines := slices.Clone(c.Machines)
	slices.SortFunc(machines, func(a, b cluster.Machine) int {
		if order := strings.Compare(a.Name, b.Name); order != 0 {
			return order
		}
		return strings.Compare(a.ID, b.ID)
	})
	for _, m := range machines {
		p.machine(m, snap)
	}
	return p, nil
}

// unit plans one unit.
func (p *Plan) unit(u Unit, all map[string]Unit, snap *cluster.Snapshot, inactive bool, by string, now time.Time) error {
	if _, err := units.ParseName(u.Name); err != nil {
		return fmt.Errorf("the backup has a unit that can't be: %w", err)
	}
	file, err := units.ParseFile(u.Content)
	if err != nil {
		return fmt.Errorf("the backup's %s can't be read: %w", u.Name, err)
	}
	if there, known := snap.Units[u.Name]; known {
		result := api.RestoredUnit{Name: u.Name, Outcome: api.There, Desired: there.Desired}
		if there.Content != u.Content {
			result.Outcome, result.Note = api.Conflicts, "the cluster has it with other content"
		}
		p.Reply.Units = append(p.Reply.Units, result)
		return nil
	}
	desired, note := desiredOf(u, inactive)
	unit := u.Unit
	unit.Hash, unit.Desired, unit.Generation, unit.Restart = file.Hash(), desired, 1, 0
	unit.AdoptedFrom, unit.Released, unit.TemplateGeneration = "", false, 0
	unit.By, unit.At = by, now
	if name, err := units.ParseName(u.Name); err == nil && u.FromTemplate {
		if t, known := all[name.Template()]; known && t.Content == u.Content {
			unit.TemplateGeneration = 1
		}
	}
	p.Create = append(p.Create, unit)
	p.Reply.Units = append(p.Reply.Units, api.RestoredUnit{Name: u.Name, Outcome: api.Restored, Desired: desired, Note: note})
	return nil
}

// desiredOf returns the desired state that a unit is restored with, and why it isn't the one that it had.
func desiredOf(u Unit, inactive bool) (desired units.DesiredState, note string) {
	switch {
	case u.Desired == units.Inactive:
		return units.Inactive, ""
	case u.ChangesHands():
		return units.Inactive, "it was being adopted or released: see whether its host runs it, and start it where it doesn't"
	case inactive:
		return units.Inactive, ""
	case u.Finished && u.Desired == units.Launched:
		return units.Loaded, "it had run and ended well, so it isn't run again"
	case u.Desired == units.Launched, u.Desired == units.Loaded:
		return u.Desired, ""
	}
	return units.Inactive, fmt.Sprintf("its desired state %q isn't known", u.Desired)
}

// machine plans what operators said of a machine.
func (p *Plan) machine(m cluster.Machine, snap *cluster.Snapshot) {
	what := words(m)
	if what == "" {
		return
	}
	result := api.RestoredMachine{ID: m.ID, Name: m.Label(), What: what, Outcome: api.Restored}
	there, known := snap.Machines[m.ID]
	switch {
	case !known:
		result.Outcome, result.Note = api.LeftOut, "it isn't in this cluster: restore again when it is, what is there stays"
	case !SetWords(&there, m, time.Time{}):
		result.Outcome = api.There
	default:
		p.Machines = append(p.Machines, m)
	}
	p.Reply.Machines = append(p.Reply.Machines, result)
}

// words tells what operators set in a machine's record.
func words(m cluster.Machine) string {
	var list []string
	if m.Schedule != cluster.Schedulable {
		list = append(list, string(m.Schedule))
	}
	for _, key := range slices.Sorted(maps.Keys(m.Overrides)) {
		list = append(list, key+"="+m.Overrides[key])
	}
	return strings.Join(list, ", ")
}

// SetWords sets in a machine's record what operators set in the backup's, where
// no operator has set it since, and reports whether that changed something.
func SetWords(m *cluster.Machine, from cluster.Machine, now time.Time) (changed bool) {
	if m.Schedule == cluster.Schedulable && m.ScheduledAt.IsZero() && from.Schedule != cluster.Schedulable {
		changed = true
		if from.Schedule == cluster.Drained {
			m.SetDrained(from.Drain.Parallel, from.Drain.Stop, now)
		} else {
			m.SetSchedule(from.Schedule, now)
		}
	}
	m.Overrides, m.Metadata = maps.Clone(m.Overrides), maps.Clone(m.Metadata)
	for _, key := range slices.Sorted(maps.Keys(from.Overrides)) {
		if _, set := m.Overrides[key]; !set {
			m.Override(key, from.Overrides[key])
			changed = true
		}
	}
	return changed
}
