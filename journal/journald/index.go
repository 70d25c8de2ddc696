package journald

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sort"
)

// all appends the offsets of up to n entries from the i-th of the file on.
func (f *file) all(list []uint64, i, n uint64) ([]uint64, error) {
	for n > 0 && i < f.entries {
		c, err := f.chunkOf(i)
		if err != nil {
			return list, err
		}
		take := min(n, c.first+c.room-i, f.entries-i)
		if list, err = f.arrayItems(list, c.offset, i-c.first, take); err != nil {
			return list, err
		}
		i, n = i+take, n-take
	}
	return list, nil
}

// chunkOf finds the array that has the i-th entry of the file.
func (f *file) chunkOf(i uint64) (chunk, error) {
	at := sort.Search(len(f.chunks), func(k int) bool { return f.chunks[k].first > i })
	if at > 0 {
		if c := f.chunks[at-1]; i < c.first+c.room {
			return c, nil
		}
	}
	next, first := f.array, uint64(0)
	if n := len(f.chunks); n > 0 {
		last := f.chunks[n-1]
		following, _, err := f.arrayHead(last.offset)
		if err != nil {
			return chunk{}, err
		}
		next, first = following, last.first+last.room
	}
	for next != 0 {
		following, room, err := f.arrayHead(next)
		if err != nil {
			return chunk{}, err
		}
		if room == 0 || len(f.chunks) > 1<<20 {
			return chunk{}, errDamaged
		}
		c := chunk{next, first, room}
		f.chunks = append(f.chunks, c)
		if i < first+room {
			return c, nil
		}
		next, first = following, first+room
	}
	return chunk{}, errDamaged
}

// with returns the offsets of the entries that have a field NAME=value, ascending.
func (f *file) with(field []byte, u *unpacker) ([]uint64, error) {
	hash := lookup3(field)
	if f.incompatible&flagKeyed != 0 {
		hash = sipHash24(f.fileID, field)
	}
	buckets := f.hashTableSize / 16
	if buckets == 0 {
		return nil, errDamaged
	}
	b, err := f.bytes(f.hashTable+hash%buckets*16, 8)
	if err != nil {
		return nil, err
	}
	next := binary.LittleEndian.Uint64(b)
	for steps := 0; next != 0; steps++ {
		if steps > 1<<16 {
			return nil, errDamaged // in a circle
		}
		if _, _, err := f.object(next, typeData, f.dataHeader()); err != nil {
			return nil, err
		}
		if b, err = f.bytes(next, 64); err != nil {
			return nil, err
		}
		at := next
		found := binary.LittleEndian.Uint64(b[16:]) == hash
		next = binary.LittleEndian.Uint64(b[24:])
		if !found {
			continue
		}
		first, chain, n := binary.LittleEndian.Uint64(b[40:]), binary.LittleEndian.Uint64(b[48:]),
			binary.LittleEndian.Uint64(b[56:])
		if got, err := f.data(at, u); err != nil || !bytes.Equal(got, field) {
			continue
		}
		return f.listOf(first, chain, n)
	}
	return nil, nil
}

// listOf reads the entries of a field: the first, and a chain of arrays with the rest.
func (f *file) listOf(first, chain, n uint64) ([]uint64, error) {
	if n == 0 {
		return nil, nil
	}
	list := []uint64{first}
	for n--; n > 0 && chain != 0; {
		next, room, err := f.arrayHead(chain)
		if err != nil || room == 0 {
			return list, err
		}
		take := min(n, room)
		if list, err = f.arrayItems(list, chain, 0, take); err != nil {
			return list, err
		}
		n, chain = n-take, next
	}
	// What is being written may not be there yet.
	list = slices.DeleteFunc(list, func(o uint64) bool { return o == 0 })
	return list, nil
}

// search returns the first of a list of entries for which behind is true, where it stays true.
func (f *file) search(list []uint64, behind func(*entry) bool) int {
	var e entry
	return sort.Search(len(list), func(i int) bool {
		if _, err := f.entryHead(list[i], &e); err != nil {
			return false
		}
		return behind(&e)
	})
}
