package journald

import (
	"encoding/binary"
	"errors"

	"github.com/klauspost/compress/zstd"
)

const (
	compressedXZ   = 1
	compressedLZ4  = 2
	compressedZSTD = 4
)

// maxData is the longest field that is decoded, name included; longer ones
// are cut to it where the compression allows, else left out.
const maxData = 8 << 20

var (
	errDamaged = errors.New("damaged")
	errXZ      = errors.New("compressed with XZ")
)

// unpacker decompresses fields. It is not safe for concurrent use.
type unpacker struct{ z *zstd.Decoder }

func (u *unpacker) unpack(kind byte, data []byte) ([]byte, error) {
	switch kind {
	case compressedLZ4:
		return unpackLZ4(data)
	case compressedZSTD:
		if u.z == nil {
			z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxData),
				zstd.WithDecoderLowmem(true))
			if err != nil {
				return nil, err
			}
			u.z = z
		}
		return u.z.DecodeAll(data, nil)
	}
	return nil, errXZ
}

func (u *unpacker) close() {
	if u.z != nil {
		u.z.Close()
	}
}

// unpackLZ4 reads journald's form: the size in 8 bytes, then one LZ4 block.
func unpackLZ4(data []byte) ([]byte, error) {
	if len(data) < 8 {
		return nil, errDamaged
	}
	size := binary.LittleEndian.Uint64(data)
	if size > maxData {
		return nil, errDamaged
	}
	out, in := make([]byte, 0, size), data[8:]
	length := func(n int) (int, bool) {
		if n != 15 {
			return n, true
		}
		for len(in) > 0 {
			b := in[0]
			in = in[1:]
			n += int(b)
			if b != 255 {
				return n, true
			}
			if n > maxData {
				break
			}
		}
		return 0, false
	}
	for len(in) > 0 {
		token := in[0]
		in = in[1:]
		n, ok := length(int(token >> 4))
		if !ok || n > len(in) || len(out)+n > int(size) {
			return nil, errDamaged
		}
		out, in = append(out, in[:n]...), in[n:]
		if len(in) == 0 {
			break // the last sequence is literals alone
		}
		if len(in) < 2 {
			return nil, errDamaged
		}
		back := int(in[0]) | int(in[1])<<8
		in = in[2:]
		if n, ok = length(int(token & 15)); !ok || back == 0 || back > len(out) || len(out)+n+4 > int(size) {
			return nil, errDamaged
		}
		for range n + 4 { // may overlap what it writes
			out = append(out, out[len(out)-back])
		}
	}
	if len(out) != int(size) {
		return nil, errDamaged
	}
	return out, nil
}
