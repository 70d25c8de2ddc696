// Package simulation is a whole cluster in one process and in virtual time: the
// real gossip, health, engine, agent, presence and election of several machines,
// over a network that loses, delays and doubles what it carries, a store that
// loses its quorum, and managers that act as systemd does. It has tests only:
// a seed chooses what happens to the cluster, and what fleettop promises is checked at each change.
//
// A seed fixes the faults and their times. The order in which goroutines run at
// one moment is Go's own, so that a story may need several runs to come again.
//
// It isn't built with the race detector: with that, the runtime of Go 1.26 may
// crash (a nil pointer in timer.maybeRunChan) on a timer of a synctest bubble that is due.
package simulation
