package etcdstore

import (
	"strings"

	"fleettop/cluster"
)

// Kinds of keys: what follows the prefix, up to the first slash.
const (
	kindUnit       = "unit"
	kindAssignment = "assignment"
	kindMachine    = "machine"
	kindAlive      = "alive"
	kindStatus     = "status"
	kindEvent      = "event"
	kindLeader     = "leader"
	kindCluster    = "cluster"
	kindVerdict    = "verdict"
	kindUnplaced   = "unplaced"
	kindWhatIf     = "whatif"
	kindOverrides  = "overrides" // of the metadata of machines that left
	kindFence      = "fence"
	kindTold       = "told" // up to where receivers of notices were told of the events
)

// layout makes and reads keys under a prefix.
type layout struct{ prefix string }

func (l layout) unit(name string) string     { return l.prefix + kindUnit + "/" + name }
func (l layout) machine(id string) string    { return l.prefix + kindMachine + "/" + id }
func (l layout) alive(machine string) string { return l.prefix + kindAlive + "/" + machine }
func (l layout) event(id string) string      { return l.prefix + kindEvent + "/" + id }
func (l layout) leader() string              { return l.prefix + kindLeader }
func (l layout) cluster() string             { return l.prefix + kindCluster }
func (l layout) verdict(id string) string    { return l.prefix + kindVerdict + "/" + id }
func (l layout) unplaced(unit string) string { return l.prefix + kindUnplaced + "/" + unit }
func (l layout) whatIf(id string) string     { return l.prefix + kindWhatIf + "/" + id }

func (l layout) overrides(id string) string  { return l.prefix + kindOverrides + "/" + id }
func (l layout) fence(machine string) string { return l.prefix + kindFence + "/" + machine }
func (l layout) told(receiver string) string { return l.prefix + kindTold + "/" + receiver }

func (l layout) assignments(machine string) string {
	return l.prefix + kindAssignment + "/" + machine + "/"
}

func (l layout) statuses(machine string) string {
	return l.prefix + kindStatus + "/" + machine + "/"
}

func (l layout) assignment(a *cluster.Assignment) string {
	return l.assignments(a.Machine) + a.Unit
}

func (l layout) status(machine, unit string) string { return l.statuses(machine) + unit }

// parse splits a key into its kind and the rest; kind is empty for a foreign key.
func (l layout) parse(key string) (kind, rest string) {
	key, ok := strings.CutPrefix(key, l.prefix)
	if !ok {
		return "", ""
	}
	kind, rest, _ = strings.Cut(key, "/")
	return kind, rest
}

// onMachine splits what follows the kind in an assignment's or a status's key.
func onMachine(rest string) cluster.UnitOnMachine {
	machine, unit, _ := strings.Cut(rest, "/")
	return cluster.UnitOnMachine{Machine: machine, Unit: unit}
}
