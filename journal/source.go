package journal

import (
	"context"
	"errors"
)

// ErrUnknownCursor means that a source can't make sense of a cursor.
var ErrUnknownCursor = errors.New("the cursor is not one of this log: leave it out, or use --since")

// Query says which part of a log Read returns. The zero value is all of it.
type Query struct {
	Filter
	Lines  int    // only so many of the newest; 0 for all, less for none
	After  Cursor // only what is behind this; "" for no bound
	Fields bool   // with Entry.Fields
}

// Position is a place between two entries in the logs of one machine; only
// its source can read it. nil is the end as it is found.
type Position any

// Source is the log of the units of one machine.
type Source interface {
	// Read calls f for each wanted entry of these units up to a position,
	// oldest first, and returns the cursor of that position. An error of
	// f ends it and is returned. A cursor of another log is ErrUnknownCursor.
	Read(ctx context.Context, units []string, q Query, upTo Position, f func(Entry) error) (Cursor, error)

	// Tail returns a reader of what is logged from now on. It is cheap
	// while nothing is.
	Tail() (Tail, error)
}

// Tail reads on at the end of a machine's log. Its methods are for one
// goroutine.
type Tail interface {
	// Wake receives when there may be something to read. It is never closed.
	Wake() <-chan struct{}

	// Next returns entries of the units wanted logged since the last call,
	// in the order they were logged. With more it wakes again. It does not
	// block. lost counts what was gone before it could be read.
	Next(wanted Wanted) (list []Entry, lost int, err error)

	// Position is where Next will go on with the units, which are among
	// those wanted in the next call.
	Position(units []string) Position

	// Close releases what the tail holds.
	Close() error
}

// Wanted tells a Tail which units are wanted.
type Wanted struct {
	Units  map[string]bool
	Fields bool // with Entry.Fields
}
