package proclog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"fleettop/journal"
)

// lineMost is the longest line; of a longer one each so many bytes are one.
const lineMost = 1 << 20

// lines reads a file's lines from an offset to an end.
type lines struct {
	f       *os.File
	x       *index
	unit    string
	machine string
	at, end int64 // in the file
	began   int64 // where the line that next returned begins
	buf     []byte
	from    int64        // offset of buf
	mid     bool         // at is in the middle of a line that isn't wanted
	partial bool         // hand out a last line that has no end yet
	head    func() int64 // where the file begins by now
}

// start moves to an offset, or to the beginning of the next line if it is in
// the middle of one. The head is, unless it is the file's beginning.
func (l *lines) start(offset int64) {
	l.at = max(offset, l.x.head)
	l.mid = l.at > 0 && (l.at == l.x.head || l.before() != '\n')
}

// exactly moves to an offset where a line begins, or the rest of one that was cut.
func (l *lines) exactly(offset int64) {
	l.at = max(offset, l.x.head)
	l.mid = l.at > 0 && l.at == l.x.head
}

// lineStart is where the line begins in whose middle an offset is, or the offset.
func lineStart(f *os.File, head, offset int64) int64 {
	from := max(head, offset-lineMost)
	b := make([]byte, max(0, offset-from))
	n, _ := f.ReadAt(b, from) // what can't be read has no line
	return from + int64(bytes.LastIndexByte(b[:n], '\n')) + 1
}

// before is the byte before the next.
func (l *lines) before() byte {
	var b [1]byte
	_, _ = l.f.ReadAt(b[:], l.at-1) // what can't be read is no newline
	return b[0]
}

// fill makes sure that n bytes from l.at on are there, if the file has them.
// What has become a hole meanwhile is passed over.
func (l *lines) fill(n int) error {
	for l.at < l.end {
		if have := l.from + int64(len(l.buf)) - l.at; l.at >= l.from && have >= int64(n) {
			return nil
		}
		size := min(max(int64(n), 64<<10), l.end-l.at)
		if int64(cap(l.buf)) < size {
			l.buf = make([]byte, size)
		}
		got, err := l.f.ReadAt(l.buf[:size], l.at)
		l.from, l.buf = l.at, l.buf[:got]
		head := l.head()
		if head <= l.at {
			if errors.Is(err, io.EOF) && got > 0 {
				err = nil
			}
			return err
		}
		l.at, l.mid = min(head, l.end), true
	}
	return io.EOF
}

// next returns the next line; false at the end.
func (l *lines) next() (e journal.Entry, ok bool, err error) {
	want := 1
	for l.at < l.end {
		if err := l.fill(want); err != nil {
			if errors.Is(err, io.EOF) {
				return e, false, nil // emptied meanwhile
			}
			return e, false, err
		}
		b := l.buf[l.at-l.from:]
		b = b[:min(len(b), lineMost)]
		if l.mid {
			i := bytes.IndexByte(b, '\n')
			if i < 0 {
				l.at += int64(len(b))
				continue
			}
			l.at, l.mid, want = l.at+int64(i)+1, false, 1
			continue
		}
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			return l.entry(b[:i], l.at+int64(i)+1), true, nil
		}
		switch {
		case len(b) == lineMost:
			return l.entry(b, l.at+lineMost), true, nil
		case l.at+int64(len(b)) < l.end:
			want = min(max(4*len(b), 64<<10), lineMost)
			continue
		case l.partial:
			return l.entry(b, l.end), true, nil
		}
		return e, false, nil
	}
	return e, false, nil
}

// entry makes an entry of a line that ends at an offset, and moves behind it.
func (l *lines) entry(line []byte, end int64) journal.Entry {
	s := l.x.of(end)
	l.began, l.at = l.at, end
	priority := journal.Info
	if len(line) >= 3 && line[0] == '<' && line[2] == '>' && line[1] >= '0' && line[1] <= '7' {
		priority = int(line[1] - '0')
		line = line[3:]
	}
	return journal.Entry{Time: time.Unix(0, s.at), Machine: l.machine, Unit: l.unit, Priority: priority,
		Message: string(bytes.TrimSuffix(line, []byte{'\r'})), Cursor: cursor{s.tick, l.x.id, end}.text()}
}

// cursor is a place behind the line of a file that ends at an offset, and
// behind all of other files that was noticed up to a tick.
type cursor struct {
	tick int64
	id   uint64 // 0 for none: everything noticed up to the tick
	end  int64
}

func (c cursor) text() journal.Cursor {
	b := append(make([]byte, 0, 64), "p="...)
	b = strconv.AppendUint(b, uint64(c.tick), 16)
	if c.id != 0 {
		b = strconv.AppendUint(append(b, ";f="...), c.id, 16)
		b = strconv.AppendUint(append(b, ";o="...), uint64(c.end), 16)
	}
	return journal.Cursor(b)
}

func parseCursor(text journal.Cursor) (c cursor, err error) {
	rest, ok := strings.CutPrefix(string(text), "p=")
	if !ok {
		return c, journal.ErrUnknownCursor
	}
	tick, place, hasPlace := strings.Cut(rest, ";f=")
	id, end, _ := strings.Cut(place, ";o=")
	number := func(s string) (n uint64) {
		if err == nil {
			n, err = strconv.ParseUint(s, 16, 64)
		}
		return n
	}
	c.tick = int64(number(tick))
	if hasPlace {
		c.id, c.end = number(id), int64(number(end))
	}
	if err != nil || c.tick < 0 || c.end < 0 {
		return cursor{}, fmt.Errorf("%w: %q", journal.ErrUnknownCursor, text)
	}
	return c, nil
}

// behind is how much of a file had been noticed at the cursor's tick.
func (c cursor) behind(x *index) int64 {
	at := x.head
	for _, s := range x.stamps {
		if s.tick > c.tick {
			break
		}
		at = s.end
	}
	return at
}
