package etcdnode

import (
	"testing"

	"fleettop/units/diskfault"
)

func TestDiskWord(t *testing.T) {
	const mb, gb = 1 << 20, 1 << 30
	for _, c := range []struct {
		free, size uint64
		low        bool
		want       string
	}{
		{300 * mb, 4 * gb, false, ""},
		{200 * mb, 4 * gb, false, "is nearly full: 200 MB of 4096 MB are free"},
		{200 * mb, 4 * gb, true, ""},
		{300 * mb, 4 * gb, true, ""}, // not yet: it would come and go
		{400 * mb, 4 * gb, true, "has room again: 400 MB of 4096 MB are free"},
		{600 * mb, 16 * gb, false, "is nearly full: 600 MB of 16384 MB are free"},
		{2 * gb, 1000 * gb, false, ""},
		{900 * mb, 1000 * gb, false, "is nearly full: 900 MB of 1024000 MB are free"},
	} {
		text, changed := diskWord(diskfault.Space{Free: c.free, Size: c.size}, c.low)
		if text != c.want || changed != (c.want != "") {
			t.Errorf("%d of %d MB, low %v: %q, %v; expected %q", c.free/mb, c.size/mb, c.low, text, changed, c.want)
		}
	}
}
