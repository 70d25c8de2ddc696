package membership

import (
	"syscall"
	"testing"
)

func shrinkBacklog(t *testing.T, raw syscall.RawConn) {
	t.Helper()
	var err error
	if cerr := raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
}
