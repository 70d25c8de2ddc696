package api

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Kinds of LogLine besides an entry of the log, whose kind is empty.
const (
	LogDivider = "divider" // the unit moved, or the view began anew; Text says it
	LogMissed  = "missed"  // Missed lines were lost; Text says why
	// LogPosition is no line of a log: Cursor is how far Machine's log was
	// read. It comes only where it is asked for.
	LogPosition = "position"
	LogEnd      = "end"   // the last line: all was said
	LogError    = "error" // the last line: it failed in the middle; Text says how
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

// Size is about how much memory the line takes.
func (l *LogLine) Size() int {
	n := len(l.Message) + len(l.Raw) + len(l.Text) + len(l.Cursor)
	for k, v := range l.Fields {
		n += len(k) + len(v)
	}
	return n
}

// SetContent sets the message to what was logged: any bytes.
func (l *LogLine) SetContent(message string) {
	l.Message, l.Raw = message, nil
	if !utf8.ValidString(message) {
		l.Message, l.Raw = strings.ToValidUTF8(message, "\uFFFD"), []byte(message)
	}
}

// Content is the message as it was logged: any bytes.
func (l *LogLine) Content() string {
	if l.Raw != nil {
		return string(l.Raw)
	}
	return l.Message
}

// AppendLogLine appends a line as encoding/json would write it, but for the
// escaping of HTML, and faster: most lines are plain text.
func AppendLogLine(b []byte, l *LogLine) []byte {
	text := func(key, value string) {
		b = append(b, key...)
		b = AppendText(b, value)
	}
	b = append(b, '{')
	if l.Kind != "" {
		text(`"kind":`, l.Kind)
		b = append(b, ',')
	}
	b = append(b, `"time":"`...)
	b = l.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	if l.Machine != "" {
		text(`,"machine":`, l.Machine)
	}
	if l.Unit != "" {
		text(`,"unit":`, l.Unit)
	}
	b = strconv.AppendInt(append(b, `,"priority":`...), int64(l.Priority), 10)
	if l.Message != "" {
		text(`,"message":`, l.Message)
	}
	if len(l.Raw) > 0 {
		raw, err := json.Marshal(l.Raw)
		if err == nil {
			b = append(append(b, `,"raw":`...), raw...)
		}
	}
	if l.Cursor != "" {
		text(`,"cursor":`, l.Cursor)
	}
	if len(l.Fields) > 0 {
		b = append(b, `,"fields":{`...)
		sep := false
		for k, v := range l.Fields {
			if sep {
				b = append(b, ',')
			}
			sep = true
			b = AppendText(b, k)
			b = append(b, ':')
			b = AppendText(b, v)
		}
		b = append(b, '}')
	}
	if l.Missed != 0 {
		b = strconv.AppendInt(append(b, `,"missed":`...), int64(l.Missed), 10)
	}
	if l.Text != "" {
		text(`,"text":`, l.Text)
	}
	return append(b, '}', '\n')
}

const hexDigits = "0123456789abcdef"

// AppendText appends a string as JSON. Bytes that are no UTF-8 become U+FFFD.
func AppendText(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			b = append(append(b, s[from:i]...), `\ufffd`...)
			i++
			from = i
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		from = i
	}
	return append(append(b, s[from:]...), '"')
}

// DecodeLogLine reads what AppendLogLine wrote.
func DecodeLogLine(raw []byte) (LogLine, error) {
	var l LogLine
	if l.fast(raw) {
		return l, nil
	}
	l = LogLine{}
	return l, json.Unmarshal(raw, &l)
}
