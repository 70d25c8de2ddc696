// Package schedule decides which machine runs which unit. It is pure: a plan
// is a function of a snapshot, the machines' health and the time it is given.
// It does no I/O, starts no goroutines and asks no clock.
//
// The rules, in order. A unit that is wanted stays where it is as long as its
// machine is taken to run and its requirements are met there; nothing healthy
// is moved to even out the load. What has no such place is given the machine
// that meets its requirements and has the fewest instances of its template,
// then the fewest units, then the first name. Units tied together by MachineOf
// are placed as a group. What fits nowhere stays unplaced, with the reason.
// Its assignment to a machine that doesn't run is left there until another
// machine can take it: a machine that was only cut off goes on with the process it has.
package schedule
