package state

import (
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/units/wording"
)

// results are what a unit failed by, in words; systemd's names of results are for programs.
var results = map[string]string{
	"timeout":         "timed out",
	"watchdog":        "watchdog timeout",
	"oom-kill":        "out of memory",
	"start-limit-hit": "failed too often",
}

// shown is a row's state in the word that people read, without what grows.
func (r *Row) shown() string {
	switch cluster.UnitState(r.Word) {
	case cluster.UnitActive:
		switch r.Sub {
		case "running", "listening", "mounted":
			return r.Sub
		}
	case cluster.UnitFailed:
		if r.Exit != "" {
			return r.Exit
		}
		if said := results[r.Result]; said != "" {
			return said
		}
	}
	return r.Word
}

// Says is a row's state as people read it, the longest form first. Each of
// them says all that matters; the longer ones say since when, or how often.
func (r *Row) Says(now time.Time) []string {
	word := r.shown()
	switch cluster.UnitState(r.Word) {
	case cluster.UnitStarting, cluster.UnitStopping, cluster.UnitReloading:
		switch r.Active {
		case "activating", "deactivating", "reloading":
			if !r.Since.IsZero() {
				return []string{word + " " + wording.Span(now.Sub(r.Since)), word}
			}
		}
	case cluster.UnitCrashing:
		if r.Restarts > 0 {
			return []string{word + ", " + wording.Count(r.Restarts, "restart"), word}
		}
	case cluster.UnitFailed:
		if strings.HasPrefix(word, "SIG") {
			return []string{"killed by " + word, word}
		}
	}
	return []string{word}
}

// Loops reports whether a row's unit ends and is started again and again.
func (r *Row) Loops() bool { return r.Word == string(cluster.UnitCrashing) }

// Why is what there is to say about a row in trouble beside its state; empty for nothing.
func (r *Row) Why() string {
	switch {
	case r.Error != "":
		return r.Error
	case r.Machine == "":
		return r.Reason
	case r.Mood == Bad && r.shown() == r.Word && r.Result != "success":
		return r.Result
	case r.Mood != Idle && !r.Loops() && r.Restarts > 0:
		return wording.Count(r.Restarts, "restart")
	}
	return ""
}
