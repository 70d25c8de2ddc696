package journald

import (
	"encoding/binary"
	"os"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// writer makes journal files as journald does, for what a real journald can't
// be made to do in a test, such as a clock that jumps back.
type writer struct {
	t       testing.TB
	b       []byte
	compact bool
	keyed   bool
	lz4     bool
	data    map[string]uint64 // offset by NAME=value
	lists   map[uint64]*chain // entries of a field but the first, by the field's offset; of all at 0
	all     []uint64
	id      [16]byte
	seqID   [16]byte
	seqnum  uint64
	array   uint64 // the first of all
	state   byte
	halfway bool // entries are added to the file, and not yet to their fields
}

const buckets = 64

func newWriter(t testing.TB, id byte, compact, keyed bool) *writer {
	w := &writer{t: t, compact: compact, keyed: keyed, data: map[string]uint64{}, lists: map[uint64]*chain{}}
	w.id[0], w.seqID[0] = id, 7
	w.b = make([]byte, 256)
	w.object(4, make([]byte, buckets*16))
	return w
}

// object appends an object and returns its offset.
func (w *writer) object(kind byte, body []byte) uint64 {
	for len(w.b)%8 != 0 {
		w.b = append(w.b, 0)
	}
	at := uint64(len(w.b))
	head := make([]byte, 16)
	head[0] = kind
	binary.LittleEndian.PutUint64(head[8:], uint64(16+len(body)))
	w.b = append(append(w.b, head...), body...)
	return at
}

func (w *writer) put(at uint64, v uint64) { binary.LittleEndian.PutUint64(w.b[at:], v) }
func (w *writer) get(at uint64) uint64    { return binary.LittleEndian.Uint64(w.b[at:]) }

// field returns the offset of a field, which it adds if it is new.
func (w *writer) field(field string) uint64 {
	if at, ok := w.data[field]; ok {
		return at
	}
	head := 48
	if w.compact {
		head = 56
	}
	payload, flags := []byte(field), byte(0)
	if len(field) > 512 {
		if w.lz4 {
			payload, flags = literalLZ4(field), compressedLZ4
		} else {
			z, err := zstd.NewWriter(nil)
			if err != nil {
				w.t.Fatal(err)
			}
			payload, flags = z.EncodeAll([]byte(field), nil), compressedZSTD
		}
	}
	at := w.object(1, append(make([]byte, head), payload...))
	w.b[at+1] = flags
	hash := lookup3([]byte(field))
	if w.keyed {
		hash = sipHash24(w.id, []byte(field))
	}
	bucket := uint64(256) + 16 + hash%buckets*16
	w.put(at+16, hash)
	w.put(at+24, w.get(bucket)) // newest first: the order in a bucket doesn't matter
	w.put(bucket, at)
	w.data[field] = at
	return at
}

// literalLZ4 is a block of one sequence that only has literals, then one that copies.
func literalLZ4(s string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(s)))
	n := len(s)
	b = append(b, 0xf0)
	for n -= 15; n >= 255; n -= 255 {
		b = append(b, 255)
	}
	return append(append(b, byte(n)), s...)
}

// add logs an entry; realtime and monotonic are in µs.
func (w *writer) add(realtime, monotonic uint64, fields ...string) {
	w.seqnum++
	body := make([]byte, 48)
	binary.LittleEndian.PutUint64(body, w.seqnum)
	binary.LittleEndian.PutUint64(body[8:], realtime)
	binary.LittleEndian.PutUint64(body[16:], monotonic)
	body[24] = 0xb0 // the boot
	var offsets []uint64
	for _, f := range fields {
		at := w.field(f)
		offsets = append(offsets, at)
		binary.LittleEndian.PutUint64(body[40:], binary.LittleEndian.Uint64(body[40:])^lookup3([]byte(f)))
		if w.compact {
			body = binary.LittleEndian.AppendUint32(body, uint32(at))
		} else {
			body = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(body, at), 0)
		}
	}
	at := w.object(3, body)
	w.link(0, at, func(first uint64) { w.array = first })
	w.all = append(w.all, at)
	if w.halfway {
		return
	}
	for _, o := range offsets {
		if n := w.get(o + 56); n == 0 {
			w.put(o+40, at)
		} else {
			w.link(o, at, func(first uint64) { w.put(o+48, first) })
		}
		w.put(o+56, w.get(o+56)+1)
	}
}

// chain is a list in arrays of growing size.
type chain struct {
	last       uint64 // array
	used, room int    // of it
}

// link appends an entry to a list, as journald does: in place.
func (w *writer) link(of, at uint64, begin func(first uint64)) {
	each := 8
	if w.compact {
		each = 4
	}
	c := w.lists[of]
	if c == nil || c.used == c.room {
		next := &chain{room: 4}
		if c != nil {
			next.room = 2 * c.room
		}
		next.last = w.object(6, make([]byte, 8+next.room*each))
		if c == nil {
			begin(next.last)
		} else {
			w.put(c.last+16, next.last)
		}
		c = next
		w.lists[of] = c
	}
	place := c.last + 24 + uint64(c.used*each)
	if w.compact {
		binary.LittleEndian.PutUint32(w.b[place:], uint32(at))
	} else {
		w.put(place, at)
	}
	c.used++
}

// bytes is the file as it would be now.
func (w *writer) bytes() []byte {
	c := *w
	c.b = append([]byte(nil), w.b...)
	copy(c.b, "LPKSHHRH")
	flags := uint32(flagZSTD | flagLZ4)
	if c.compact {
		flags |= flagCompact
	}
	if c.keyed {
		flags |= flagKeyed
	}
	binary.LittleEndian.PutUint32(c.b[12:], flags)
	c.b[16] = c.state
	copy(c.b[24:], c.id[:])
	copy(c.b[72:], c.seqID[:])
	c.put(88, 256)
	c.put(104, 256+16)
	c.put(112, buckets*16)
	c.put(152, uint64(len(c.all)))
	c.put(160, c.seqnum)
	c.put(168, c.seqnum-uint64(len(c.all))+1)
	c.put(176, c.array)
	if n := len(c.all); n > 0 {
		c.put(184, c.get(c.all[0]+24))
		c.put(192, c.get(c.all[n-1]+24))
	}
	return c.b
}

// write writes the file in place, as journald does: readers have it open.
func (w *writer) write(path string) {
	w.t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		b := w.bytes()
		if _, err = f.WriteAt(b[256:], 256); err == nil {
			_, err = f.WriteAt(b[:256], 0) // the counts last
		}
		f.Close()
	}
	if err != nil {
		w.t.Fatal(err)
	}
}
