package api

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Kinds of LogLine besides an entry of the log, whose kind is empty.
const (
	LogDivider = "divider" // the unit moved, or the view began anew; Text says it
	LogMissed  = "missed"  // Missed lines were lost; Text says why
	// LogPosition is no line of a log: Cursor is how far Machine's log was
	// read. It comes only where it is asked for.
	LogPosition = "position"
)

// LogLine is one line of a unit's log.
type LogLine struct {
	Kind     string    `json:"kind,omitempty"`
	Time     time.Time `json:"time"`
	Machine  string    `json:"machine,omitempty"` // ID
	Unit     string    `json:"unit,omitempty"`
	Priority int       `json:"priority"` // syslog's: 0 emerg … 3 err, 4 warning, 6 info, 7 debug
	// Message is the text, with U+FFFD for bytes that are no UTF-8; Raw then has them all.
	Message string            `json:"message,omitempty"`
	Raw     []byte            `json:"raw,omitempty"`
	Cursor  string            `json:"cursor,omitempty"`
	Fields  map[string]string `json:"fields,omitempty"`
	Missed  int               `json:"missed,omitempty"`
	Text    string            `json:"text,omitempty"` // of a divider or a gap, for people
}

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
	Machine  string // only what this machine has, by ID or name
	Follow   bool   // go on with what is written from now on
	Fields   bool   // with all the fields the log has

	// After goes on behind a line's cursor, by machine. With it, Lines does
	// not count, and Since is for the machines it doesn't name.
	After map[string]string
	// Positions asks for lines of LogPosition, to fill After with.
	Positions bool
	// Local is for machines: what this one has, without asking others.
	Local bool
}

func (o JournalOptions) query() url.Values {
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
	flag("follow", o.Follow)
	flag("fields", o.Fields)
	flag("positions", o.Positions)
	flag("local", o.Local)
	for _, machine := range sortedKeys(o.After) {
		q.Add("after", machine+"~"+o.After[machine])
	}
	return q
}

// names are the units asked for.
func (o JournalOptions) names() []string {
	if o.Unit == "" {
		return o.Units
	}
	return append([]string{o.Unit}, o.Units...)
}

// Journal calls f for each line of units' logs, oldest first, until its end
// or, when following, until f or the connection fails or ctx ends; it returns
// that error. The log follows the units when they move.
func (c *Client) Journal(ctx context.Context, o JournalOptions, f func(LogLine) error) error {
	return c.JournalBatches(ctx, o, func(list []LogLine) error {
		for _, l := range list {
			if err := f(l); err != nil {
				return err
			}
		}
		return nil
	})
}

// batchMost and batchBytes are how many lines, and about how much text, JournalBatches hands over at once.
const (
	batchMost  = 256
	batchBytes = 1 << 20
)

// JournalBatches is Journal with all lines that have arrived at once.
func (c *Client) JournalBatches(ctx context.Context, o JournalOptions, f func([]LogLine) error) error {
	path, q := "/v1/journal", o.query()
	if names := o.names(); len(names) == 1 {
		path = "/v1/units/" + escape(names[0]) + "/journal"
	} else {
		q["unit"] = names
	}
	resp, err := c.do(ctx, http.MethodGet, path, q, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			return c.explain(ctx, err)
		}
		return refusal(resp.Status, raw)
	}
	in := bufio.NewReaderSize(resp.Body, 256<<10)
	var list []LogLine
	size := 0
	hand := func() error {
		if len(list) == 0 {
			return nil
		}
		err := f(list)
		list, size = make([]LogLine, 0, cap(list)), 0
		return err
	}
	for {
		l, ended, err := c.nextLogLine(ctx, in)
		if ended || err != nil {
			return cmp.Or(hand(), err) // what came before the end counts
		}
		if l.Kind != logBeat {
			list = append(list, l)
			size += l.Size()
		}
		waiting, _ := in.Peek(in.Buffered())
		if len(list) >= batchMost || size >= batchBytes || bytes.IndexByte(waiting, '\n') < 0 {
			if err := hand(); err != nil {
				return err
			}
		}
	}
}

// logBeat is the kind nextLogLine gives to a heartbeat.
const logBeat = "beat"

// nextLogLine reads a line of a log; ended reports whether the daemon has told all.
func (c *Client) nextLogLine(ctx context.Context, in *bufio.Reader) (l LogLine, ended bool, err error) {
	raw, err := readLine(in)
	switch {
	case errors.Is(err, io.EOF):
		return l, false, c.explain(ctx, errors.New("the daemon ended the stream"))
	case err != nil:
		return l, false, c.explain(ctx, err)
	case len(raw) == 0:
		return LogLine{Kind: logBeat}, false, nil
	}
	l, err = decodeLogLine(raw)
	if err != nil {
		return l, false, fmt.Errorf("the log from %s can't be read: %w: is it a fleettop of another version?", c.endpoint, err)
	}
	if l.Kind == logError {
		return l, false, refuse(CodeInternal, "", "%s", l.Text)
	}
	return l, l.Kind == logEnd, nil
}

// readLine returns a line without its end. It is good until the next call.
func readLine(in *bufio.Reader) ([]byte, error) {
	raw, err := in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		whole := bytes.Clone(raw)
		for errors.Is(err, bufio.ErrBufferFull) && len(whole) < maxLine {
			raw, err = in.ReadSlice('\n')
			whole = append(whole, raw...)
		}
		raw = whole
	}
	if err != nil {
		return nil, err
	}
	return raw[:len(raw)-1], nil
}
