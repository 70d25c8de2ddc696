package journald

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"fleettop/units/safefile"
)

// Incompatible flags of a file: one that isn't listed means a format to come.
const (
	flagXZ      = 1 << 0
	flagLZ4     = 1 << 1
	flagKeyed   = 1 << 2
	flagZSTD    = 1 << 3
	flagCompact = 1 << 4
	flagsKnown  = flagXZ | flagLZ4 | flagKeyed | flagZSTD | flagCompact
)

const (
	stateArchived = 2

	headerLeast = 208 // up to and with tail_entry_monotonic

	typeData  = 1
	typeEntry = 3
	typeArray = 6

	objectHeader = 16
	entryHeader  = 64
	arrayHeader  = 24
)

// errNotJournal means that a file is no journal, or not one yet.
var errNotJournal = errors.New("not a journal file")

// FormatError says that a file is of a format to come.
type FormatError struct{ Flags uint32 }

// Error implements error.
func (e *FormatError) Error() string {
	return fmt.Sprintf("its format is newer than this fleettop (flags %#x): "+
		"read it with journalctl, or install a newer fleettop", e.Flags)
}

// header is what a file says of itself; what grows is as of the last refresh.
type header struct {
	incompatible  uint32
	state         byte
	fileID        [16]byte
	seqnumID      [16]byte
	hashTable     uint64
	hashTableSize uint64
	entries       uint64 // number of entries
	tailSeqnum    uint64
	headSeqnum    uint64
	array         uint64 // offset of the first array of all entries
	headRealtime  uint64 // µs since 1970
	tailRealtime  uint64
}

// file is a journal file open for reading. It is not safe for concurrent use.
type file struct {
	r      io.ReaderAt
	closer io.Closer
	path   string // it was opened by
	header

	window []byte // of the file from base on
	base   int64
	chunks []chunk // arrays of the chain of all entries, as far as it was walked
}

// chunk is one array of the chain of all entries.
type chunk struct {
	offset uint64
	first  uint64 // index of its first entry
	room   uint64
}

const windowSize = 128 << 10

func openFile(path string) (*file, error) {
	f, err := safefile.Open(path)
	if err != nil {
		return nil, err
	}
	jf, err := newFile(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	jf.closer, jf.path = f, path
	return jf, nil
}

func newFile(r io.ReaderAt) (*file, error) {
	f := &file{r: r}
	return f, f.refresh()
}

func (f *file) close() {
	if f.closer != nil {
		f.closer.Close()
	}
}

// refresh reads the header anew, and forgets what was read ahead.
func (f *file) refresh() error {
	var b [headerLeast]byte
	if _, err := f.r.ReadAt(b[:], 0); err != nil {
		if errors.Is(err, io.EOF) {
			return errNotJournal // being made
		}
		return err
	}
	if string(b[:8]) != "LPKSHHRH" {
		return errNotJournal
	}
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	h := header{incompatible: binary.LittleEndian.Uint32(b[12:]), state: b[16], hashTable: u64(104),
		hashTableSize: u64(112),
		entries:       u64(152), tailSeqnum: u64(160), headSeqnum: u64(168), array: u64(176), headRealtime: u64(184),
		tailRealtime: u64(192)}
	copy(h.fileID[:], b[24:40])
	copy(h.seqnumID[:], b[72:88])
	if h.incompatible&^flagsKnown != 0 {
		return &FormatError{h.incompatible &^ flagsKnown}
	}
	f.header = h
	f.window = f.window[:0]
	return nil
}

func (f *file) compact() bool { return f.incompatible&flagCompact != 0 }

// bytes returns n bytes at an offset. They are good until the next call.
func (f *file) bytes(offset uint64, n int) ([]byte, error) {
	if offset > 1<<56 || n < 0 {
		return nil, errDamaged
	}
	at := int64(offset)
	if at >= f.base && at+int64(n) <= f.base+int64(len(f.window)) {
		return f.window[at-f.base:][:n], nil
	}
	size := max(n, windowSize)
	if cap(f.window) < size {
		f.window = make([]byte, size)
	}
	got, err := f.r.ReadAt(f.window[:size], at)
	f.base, f.window = at, f.window[:got]
	if cap(f.window) > 4*windowSize {
		defer func() { f.window = nil }() // a large field: don't keep its room
	}
	if got < n {
		if err == nil || errors.Is(err, io.EOF) {
			err = errDamaged
		}
		return nil, err
	}
	return f.window[:n], nil
}

// object checks an object's header and returns its flags and size.
func (f *file) object(offset uint64, kind byte, least uint64) (flags byte, size uint64, err error) {
	if offset < headerLeast || offset%8 != 0 {
		return 0, 0, errDamaged
	}
	b, err := f.bytes(offset, objectHeader)
	if err != nil {
		return 0, 0, err
	}
	size = binary.LittleEndian.Uint64(b[8:])
	if b[0] != kind || size < least || size > 1<<40 {
		return 0, 0, errDamaged
	}
	return b[1], size, nil
}

// entry is the head of an entry.
type entry struct {
	offset    uint64
	seqnum    uint64
	realtime  uint64 // µs since 1970
	monotonic uint64 // µs since boot
	boot      [16]byte
	xor       uint64
	items     []uint64 // offsets of its fields; of the reader, until the next entry
}

// maxItems bounds the fields of an entry.
const maxItems = 4096

// entryHead reads an entry without its fields.
func (f *file) entryHead(offset uint64, e *entry) (size uint64, err error) {
	_, size, err = f.object(offset, typeEntry, entryHeader)
	if err != nil {
		return 0, err
	}
	b, err := f.bytes(offset, entryHeader)
	if err != nil {
		return 0, err
	}
	e.offset, e.items = offset, e.items[:0]
	e.seqnum, e.realtime, e.monotonic = binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:]),
		binary.LittleEndian.Uint64(b[32:])
	copy(e.boot[:], b[40:56])
	e.xor = binary.LittleEndian.Uint64(b[56:])
	return size, nil
}

// entry reads an entry with the offsets of its fields.
func (f *file) entry(offset uint64, e *entry) error {
	size, err := f.entryHead(offset, e)
	if err != nil {
		return err
	}
	each := 16
	if f.compact() {
		each = 4
	}
	n := (size - entryHeader) / uint64(each)
	if n > maxItems {
		return errDamaged
	}
	b, err := f.bytes(offset+entryHeader, int(n)*each)
	if err != nil {
		return err
	}
	for ; len(b) >= each; b = b[each:] {
		if f.compact() {
			e.items = append(e.items, uint64(binary.LittleEndian.Uint32(b)))
		} else {
			e.items = append(e.items, binary.LittleEndian.Uint64(b))
		}
	}
	return nil
}

// dataHeader is the length of a field's object before its payload.
func (f *file) dataHeader() uint64 {
	if f.compact() {
		return 72
	}
	return 64
}

// data returns a field as NAME=value; the bytes are good until the next call.
// A field longer than maxData is cut.
func (f *file) data(offset uint64, u *unpacker) ([]byte, error) {
	head := f.dataHeader()
	flags, size, err := f.object(offset, typeData, head)
	if err != nil {
		return nil, err
	}
	n := size - head
	packed := flags & (compressedXZ | compressedLZ4 | compressedZSTD)
	if n > maxData {
		if packed != 0 {
			return nil, errDamaged
		}
		n = maxData
	}
	b, err := f.bytes(offset+head, int(n))
	if err != nil || packed == 0 {
		return b, err
	}
	return u.unpack(packed, b)
}

// array reads the head of an entry array: the next one's offset, and how many entries it has room for.
func (f *file) arrayHead(offset uint64) (next, room uint64, err error) {
	_, size, err := f.object(offset, typeArray, arrayHeader)
	if err != nil {
		return 0, 0, err
	}
	b, err := f.bytes(offset+objectHeader, 8)
	if err != nil {
		return 0, 0, err
	}
	next = binary.LittleEndian.Uint64(b)
	if next != 0 && next <= offset { // they are written one after another: anything else would be a circle
		return 0, 0, errDamaged
	}
	return next, (size - arrayHeader) / f.arrayEach(), nil
}

func (f *file) arrayEach() uint64 {
	if f.compact() {
		return 4
	}
	return 8
}

// itemsAtOnce bounds what is read of an array in one piece, whatever it says of its size.
const itemsAtOnce = 8192

// arrayItems appends n entries' offsets of an array from its i-th on.
func (f *file) arrayItems(list []uint64, offset, i, n uint64) ([]uint64, error) {
	each := f.arrayEach()
	for n > 0 {
		take := min(n, itemsAtOnce)
		b, err := f.bytes(offset+arrayHeader+i*each, int(take*each))
		if err != nil {
			return list, err
		}
		for ; uint64(len(b)) >= each; b = b[each:] {
			if f.compact() {
				list = append(list, uint64(binary.LittleEndian.Uint32(b)))
			} else {
				list = append(list, binary.LittleEndian.Uint64(b))
			}
		}
		i, n = i+take, n-take
	}
	return list, nil
}
