package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// Kinds of LogLine besides an entry of the log, whose kind is empty.
const (
	LogDivider = "divider" // the unit moved, or the view began anew; Text says it
	LogMissed  = "missed"  // Missed lines were lost; Text says why
)

// LogLine is one line of a unit's log.
type LogLine struct {
	Kind     string            `json:"kind,omitempty"`
	Time     time.Time         `json:"time"`
	Machine  string            `json:"machine,omitempty"` // ID
	Unit     string            `json:"unit,omitempty"`
	Priority int               `json:"priority"` // syslog's: 0 emerg … 3 err, 4 warning, 6 info, 7 debug
	Message  string            `json:"message,omitempty"`
	Cursor   string            `json:"cursor,omitempty"`
	Fields   map[string]string `json:"fields,omitempty"`
	Missed   int               `json:"missed,omitempty"`
	Text     string            `json:"text,omitempty"` // of a divider or a gap, for people
}

// JournalOptions says which part of a unit's log is wanted. The zero value is
// all there is, up to now.
type JournalOptions struct {
	Unit     string // a name or a glob
	Lines    int    // only so many of the newest; 0 for all
	Since    string // a time or an age, as text
	Until    string
	Priority string // a syslog level by name or number: it and what is more urgent
	Grep     string // a regular expression
	Machine  string // only what this machine has, by ID
	Follow   bool   // go on with what is written from now on
}

func (o JournalOptions) query() url.Values {
	q := url.Values{}
	set := func(key, value string) {
		if value != "" {
			q.Set(key, value)
		}
	}
	if o.Lines > 0 {
		q.Set("lines", strconv.Itoa(o.Lines))
	}
	set("since", o.Since)
	set("until", o.Until)
	set("priority", o.Priority)
	set("grep", o.Grep)
	set("machine", o.Machine)
	if o.Follow {
		q.Set("follow", "true")
	}
	return q
}

// Journal calls f for each line of a unit's log, oldest first, until its end
// or, when following, until f or the connection fails or ctx ends; it returns
// that error. The log follows the unit when it moves.
func (c *Client) Journal(ctx context.Context, o JournalOptions, f func(LogLine) error) error {
	return c.lines(ctx, "/v1/units/"+escape(o.Unit)+"/journal", o.query(), func(raw []byte) error {
		var l LogLine
		if err := json.Unmarshal(raw, &l); err != nil {
			return fmt.Errorf("the log from %s can't be read: %w: is it a fleettop of another version?", c.endpoint, err)
		}
		return f(l)
	})
}
