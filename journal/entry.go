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

// Entry is one entry of a unit's log. It is immutable once handed out.
type Entry struct {
	Time     time.Time
	Machine  string // ID
	Unit     string
	Priority int
	Message  string // as it was logged: any bytes
	Cursor   Cursor
	Fields   map[string]string // all that the log has; nil unless asked for
}

// Size is about what an entry takes in memory, in bytes.
func (e *Entry) Size() int {
	n := 160 + len(e.Message) + len(e.Cursor)
	for k, v := range e.Fields {
		n += 48 + len(k) + len(v)
	}
	return n
}
