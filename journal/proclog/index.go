package proclog

import (
	"crypto/rand"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"fleettop/units/atomicfile"
)

const (
	indexMagic  = "fltpix1\n"
	indexHeader = 32
	stampSize   = 24
	// stampsMost bounds a unit's stamps; beyond it every second of the older
	// ones goes, and the times of old lines get coarser.
	stampsMost = 32 << 10
	maxIndex   = indexHeader + 2*stampSize*stampsMost // bytes of a file
)

// stamp says that a file had grown to an offset when it was looked at.
type stamp struct {
	end  int64
	at   int64 // ns since 1970, by the clock, which may jump back
	tick int64 // order over all units of a machine; never goes back
}

// index is what is known of a unit's file beside its bytes.
type index struct {
	id     uint64 // of this life of the file, random: offsets mean something only with it
	inode  uint64
	head   int64 // what is before it is gone
	stamps []stamp
	saved  int // stamps that are on disk as they are here; -1 if all has to be written; Run's own
}

func newIndex(inode uint64) *index {
	var b [8]byte
	rand.Read(b[:])
	return &index{id: binary.LittleEndian.Uint64(b[:]) | 1, inode: inode, saved: -1}
}

// end is how far the file has been stamped.
func (x *index) end() int64 {
	if len(x.stamps) == 0 {
		return x.head
	}
	return x.stamps[len(x.stamps)-1].end
}

// of returns the stamp of a line that ends at an offset.
func (x *index) of(end int64) stamp {
	i := sort.Search(len(x.stamps), func(i int) bool { return x.stamps[i].end >= end })
	if i == len(x.stamps) {
		return stamp{}
	}
	return x.stamps[i]
}

func (x *index) add(s stamp) {
	x.stamps = append(x.stamps, s)
	if len(x.stamps) > stampsMost {
		old := x.stamps[:len(x.stamps)/2]
		thin := make([]stamp, 0, stampsMost)
		for i := 1; i < len(old); i += 2 {
			thin = append(thin, old[i])
		}
		x.stamps = append(thin, x.stamps[len(old):]...)
		x.saved = -1
	}
}

// cut forgets what is before head.
func (x *index) cut(head int64) {
	x.head = head
	i := sort.Search(len(x.stamps), func(i int) bool { return x.stamps[i].end > head })
	x.stamps = slices.Clone(x.stamps[i:])
	x.saved = -1
}

// clone is a copy to read from while the index goes on.
func (x *index) clone() *index {
	return &index{id: x.id, inode: x.inode, head: x.head, stamps: slices.Clone(x.stamps)}
}

func (x *index) appendStamps(b []byte, list []stamp) []byte {
	for _, s := range list {
		b = binary.LittleEndian.AppendUint64(b, uint64(s.end))
		b = binary.LittleEndian.AppendUint64(b, uint64(s.at))
		b = binary.LittleEndian.AppendUint64(b, uint64(s.tick))
	}
	return b
}

// save brings the file up to date.
func (x *index) save(path string) error {
	if x.saved == len(x.stamps) {
		return nil
	}
	if x.saved >= 0 {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			_, err = f.Write(x.appendStamps(nil, x.stamps[x.saved:]))
			if err2 := f.Close(); err == nil {
				err = err2
			}
		}
		if err == nil {
			x.saved = len(x.stamps)
			return nil
		}
	}
	b := append(make([]byte, 0, indexHeader+stampSize*len(x.stamps)), indexMagic...)
	b = binary.LittleEndian.AppendUint64(b, x.id)
	b = binary.LittleEndian.AppendUint64(b, x.inode)
	b = binary.LittleEndian.AppendUint64(b, uint64(x.head))
	b = x.appendStamps(b, x.stamps)
	// Without waiting for the disk: one that is damaged by a power loss is noticed, and begun anew.
	if err := atomicfile.Replace(path, b, 0o600, filepath.Dir(path)); err != nil {
		return err
	}
	x.saved = len(x.stamps)
	return nil
}

// parseIndex reads an index. One that is damaged ends where it makes no sense
// any more; nil if it never made any.
func parseIndex(b []byte) *index {
	if len(b) < indexHeader || string(b[:8]) != indexMagic {
		return nil
	}
	u64 := binary.LittleEndian.Uint64
	x := &index{id: u64(b[8:]), inode: u64(b[16:]), head: int64(u64(b[24:]))}
	if x.id == 0 || x.head < 0 {
		return nil
	}
	whole := len(b[indexHeader:])%stampSize == 0
	last := stamp{end: x.head}
	for b = b[indexHeader:]; len(b) >= stampSize; b = b[stampSize:] {
		s := stamp{int64(u64(b)), int64(u64(b[8:])), int64(u64(b[16:]))}
		if s.end <= last.end || s.tick <= last.tick {
			whole = false
			break
		}
		x.stamps = append(x.stamps, s)
		last = s
	}
	x.saved = len(x.stamps)
	if !whole || len(x.stamps) > stampsMost {
		x.saved = -1
	}
	return x
}
