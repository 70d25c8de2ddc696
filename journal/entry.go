package journal

import "time"

// Priorities, syslog's: the lower the more urgent.
const (
	Emergency = iota
	Alert
	Critical
	Error
	Warning
	Notice
	Info
	Debug
)

// MaxMessage is the longest message that a source hands out, in bytes; of a
// longer one the beginning.
const MaxMessage = 4 << 20

// Cursor names an entry, or a place between two, in the log of one machine.
// What it says is its source's business; it stays good when the log rotates.
type Cursor string

// Kind tells an entry of a log, whose kind is empty, from what is said between them.
type Kind string

// The kinds besides an entry of a log.
const (
	KindDivider Kind = "divider" // the unit moved, or something is to be said; Text says it
	KindMissed  Kind = "missed"  // Missed entries were lost; Text says why
	// KindPosition says with Cursor how far Machine's log was read. It comes only
	// where it is asked for.
	KindPosition Kind = "position"
	KindEnd      Kind = "end"   // the last of a stream: all was said
	KindError    Kind = "error" // the last of a stream that failed; Text says how
)

// Entry is one entry of a unit's log, or what is said between two. It is the same
// in the reader, between machines and on the screen, and immutable once handed out.
type Entry struct {
	Kind     Kind              `json:"kind,omitempty"`
	Time     time.Time         `json:"time"`
	Machine  string            `json:"machine,omitempty"` // ID
	Unit     string            `json:"unit,omitempty"`
	Priority int               `json:"priority"`
	Message  string            `json:"message,omitempty"` // as it was logged: any bytes
	Cursor   Cursor            `json:"cursor,omitempty"`
	Fields   map[string]string `json:"fields,omitempty"` // all that the log has; nil unless asked for
	Missed   int               `json:"missed,omitempty"`
	Text     string            `json:"text,omitempty"` // of what is no entry of a log, for people
}

// Size is about what an entry takes in memory, in bytes.
func (e *Entry) Size() int {
	n := 160 + len(e.Message) + len(e.Text) + len(e.Cursor)
	for k, v := range e.Fields {
		n += 48 + len(k) + len(v)
	}
	return n
}
