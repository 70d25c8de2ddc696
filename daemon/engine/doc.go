// Package engine is the leader's loop: it looks at the cluster's state and the
// machines' health, has a plan made, writes it under its term, waits until its
// view shows what it wrote, and looks again. What it does and how long a
// failover took goes to the timeline, after the moves and never before.
//
// What a look leads to is decided in term.go, without I/O or a clock;
// engine.go carries it out.
package engine
