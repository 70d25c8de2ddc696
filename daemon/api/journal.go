package api

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
)

// JournalOptions says which part of which units' logs is wanted. The zero value is
// all there is, up to now.
type JournalOptions struct {
	Unit     string   // a name or a glob
	Units    []string // more of them
	Lines    int      // only so many of the newest; 0 for all, less for none
	Since    string   // a time as systemd writes it, or an age, as text
	Until    string
	Priority string // a syslog level by name or number: it and what is more urgent; or a range
	Grep     string // a regular expression
	Errors   bool   // only errors, by priority or by words: journal.IsError
	Machine  string // only what this machine has, by ID or name
	Follow   bool   // go on with what is written from now on
	Fields   bool   // with all the fields the log has

	// After goes on behind a line's cursor, by machine. With it, Lines does
	// not count, and Since is for the machines it doesn't name.
	After map[string]string
	// Positions asks for entries of journal.KindPosition, to fill After with.
	Positions bool
	// Local is for machines: what this one has, without asking others.
	Local bool
}

// Query is the options but for the units as a request has them.
func (o JournalOptions) Query() url.Values {
	q := url.Values{}
	set := func(key, value string) {
		if value != "" {
			q.Set(key, value)
		}
	}
	flag := func(key string, on bool) {
		if on {
			q.Set(key, "true")
		}
	}
	if o.Lines != 0 {
		q.Set("lines", strconv.Itoa(max(o.Lines, 0)))
	}
	set("since", o.Since)
	set("until", o.Until)
	set("priority", o.Priority)
	set("grep", o.Grep)
	set("machine", o.Machine)
	flag("errors", o.Errors)
	flag("follow", o.Follow)
	flag("fields", o.Fields)
	flag("positions", o.Positions)
	flag("local", o.Local)
	for _, machine := range slices.Sorted(maps.Keys(o.After)) {
		q.Add("after", machine+"~"+o.After[machine])
	}
	return q
}

// Names are the units asked for.
func (o JournalOptions) Names() []string {
	if o.Unit == "" {
		return o.Units
	}
	return append([]string{o.Unit}, o.Units...)
}
