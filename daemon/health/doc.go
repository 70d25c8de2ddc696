// Package health turns evidence about machines (gossip, probes of its own, the
// store's records) into a verdict on each, and tells when so many vanish at
// once that the observer is more likely the one cut off.
//
// The verdict is a pure function in verdict.go, with what holds for a machine that
// failed in returning.go; the count is one in hold.go. The Tracker gathers the
// evidence, and probing.go sends the probes. At rest it waits for changes; it probes and
// sets timers only while a machine is in doubt.
package health
