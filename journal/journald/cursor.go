package journald

import (
	"cmp"
	"encoding/hex"
	"strconv"
	"strings"

	"fleettop/journal"
)

// cursor is systemd's own, which journalctl takes too.
type cursor struct {
	seqnumID  [16]byte
	seqnum    uint64
	boot      [16]byte
	monotonic uint64
	realtime  uint64
	xor       uint64
}

func (f *file) cursor(e *entry) cursor {
	return cursor{f.seqnumID, e.seqnum, e.boot, e.monotonic, e.realtime, e.xor}
}

// String implements fmt.Stringer.
func (c cursor) String() string {
	b := make([]byte, 0, 160)
	id := func(name string, v [16]byte) {
		b = append(b, name...)
		b = hex.AppendEncode(b, v[:])
	}
	number := func(name string, v uint64) {
		b = append(b, name...)
		b = strconv.AppendUint(b, v, 16)
	}
	id("s=", c.seqnumID)
	number(";i=", c.seqnum)
	id(";b=", c.boot)
	number(";m=", c.monotonic)
	number(";t=", c.realtime)
	number(";x=", c.xor)
	return string(b)
}

func parseCursor(text journal.Cursor) (c cursor, err error) {
	seen := 0
	for part := range strings.SplitSeq(string(text), ";") {
		name, value, _ := strings.Cut(part, "=")
		id := func(to *[16]byte) {
			raw, err := hex.DecodeString(value)
			if err == nil && len(raw) == 16 {
				copy(to[:], raw)
				seen++
			}
		}
		number := func(to *uint64) {
			if n, err := strconv.ParseUint(value, 16, 64); err == nil {
				*to = n
				seen++
			}
		}
		switch name {
		case "s":
			id(&c.seqnumID)
		case "i":
			number(&c.seqnum)
		case "b":
			id(&c.boot)
		case "m":
			number(&c.monotonic)
		case "t":
			number(&c.realtime)
		case "x":
			number(&c.xor)
		}
	}
	if seen != 6 {
		return c, journal.ErrUnknownCursor
	}
	return c, nil
}

// before reports whether an entry of a file comes after the cursor.
func (c cursor) before(f *file, e *entry) bool {
	switch {
	case f.seqnumID == c.seqnumID:
		return e.seqnum > c.seqnum
	case e.boot == c.boot:
		return e.monotonic > c.monotonic
	}
	return e.realtime > c.realtime
}

func (c cursor) bootID() string { return hex.EncodeToString(c.boot[:]) }

// compare orders entries of different files as they were logged.
func compare(f *file, a *entry, g *file, b *entry) int {
	switch {
	case f.seqnumID == g.seqnumID:
		return cmp.Compare(a.seqnum, b.seqnum)
	case a.boot == b.boot:
		return cmp.Compare(a.monotonic, b.monotonic)
	}
	return cmp.Compare(a.realtime, b.realtime)
}

// same reports whether two entries are copies of one, as are made when the
// journal moves from memory to disk.
func same(a, b *entry) bool {
	return a.boot == b.boot && a.monotonic == b.monotonic && a.realtime == b.realtime && a.xor == b.xor
}
