package journald

import (
	"encoding/binary"
	"math/bits"
)

// sipHash24 is SipHash-2-4 under a file's ID, the hash of keyed files.
func sipHash24(key [16]byte, data []byte) uint64 {
	k0, k1 := binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:])
	v0, v1, v2, v3 := k0^0x736f6d6570736575, k1^0x646f72616e646f6d, k0^0x6c7967656e657261, k1^0x7465646279746573
	round := func() {
		v0 += v1
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v3
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v0 += v3
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 += v1
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v2 = bits.RotateLeft64(v2, 32)
	}
	length := uint64(len(data)) << 56
	word := func(m uint64) {
		v3 ^= m
		round()
		round()
		v0 ^= m
	}
	for ; len(data) >= 8; data = data[8:] {
		word(binary.LittleEndian.Uint64(data))
	}
	var last [8]byte
	copy(last[:], data)
	word(binary.LittleEndian.Uint64(last[:]) | length)
	v2 ^= 0xff
	for range 4 {
		round()
	}
	return v0 ^ v1 ^ v2 ^ v3
}

// lookup3 is Bob Jenkins' hash, the one of files without keys.
func lookup3(data []byte) uint64 {
	a := uint32(0xdeadbeef) + uint32(len(data))
	b, c := a, a
	for ; len(data) > 12; data = data[12:] {
		a += binary.LittleEndian.Uint32(data)
		b += binary.LittleEndian.Uint32(data[4:])
		c += binary.LittleEndian.Uint32(data[8:])
		a = (a - c) ^ bits.RotateLeft32(c, 4)
		c += b
		b = (b - a) ^ bits.RotateLeft32(a, 6)
		a += c
		c = (c - b) ^ bits.RotateLeft32(b, 8)
		b += a
		a = (a - c) ^ bits.RotateLeft32(c, 16)
		c += b
		b = (b - a) ^ bits.RotateLeft32(a, 19)
		a += c
		c = (c - b) ^ bits.RotateLeft32(b, 4)
		b += a
	}
	if len(data) > 0 {
		var last [12]byte
		copy(last[:], data)
		a += binary.LittleEndian.Uint32(last[:])
		b += binary.LittleEndian.Uint32(last[4:])
		c += binary.LittleEndian.Uint32(last[8:])
		for _, s := range [...]struct {
			x, y *uint32
			r    int
		}{{&c, &b, 14}, {&a, &c, 11}, {&b, &a, 25}, {&c, &b, 16}, {&a, &c, 4}, {&b, &a, 14}, {&c, &b, 24}} {
			*s.x = (*s.x ^ *s.y) - bits.RotateLeft32(*s.y, s.r)
		}
	}
	return uint64(c)<<32 | uint64(b)
}
