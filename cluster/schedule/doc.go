// Package schedule decides which machine runs which unit. It is pure: a plan
// is a function of a snapshot, the machines' health and the time it is given.
// It does no I/O, starts no goroutines and asks no clock.
//
// The rules, in order. A wanted unit stays on its machine as long as that counts
// as running and meets the unit's requirements; no healthy unit is moved to
// balance the load. Any other unit is given to the machine that meets its
// requirements and has the fewest instances of its template, then the fewest
// units, then the first name. Units that MachineOf= connects are placed as a
// group. A unit that no machine takes stays unplaced, with the reason. Its
// assignment to a machine that doesn't run is left there until another machine
// can take it: a machine that was only cut off continues with its process. A
// global unit is updated machine by machine.
//
// The rules about which machine may run a unit are in constraints, one type in
// one file each.
package schedule
