package client

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

// TestALongLineIsNotKept: the first line of a watch is megabytes long, and the stream lasts for hours.
func TestALongLineIsNotKept(t *testing.T) {
	long := strings.Repeat("x", 300<<10)
	in := lineReader{in: bufio.NewReaderSize(strings.NewReader(long+"\nshort\n\nthe rest"), 64<<10)}
	for _, want := range []string{long + "\n", "short\n", "\n"} {
		if got, err := in.next(); err != nil || string(got) != want {
			t.Fatalf("it reads %d bytes (%v), want %d", len(got), err, len(want))
		}
	}
	if in.long != nil {
		t.Errorf("%d bytes are kept", cap(in.long))
	}
	if got, err := in.next(); err != io.EOF || string(got) != "the rest" {
		t.Errorf("at the end it reads %q (%v)", got, err)
	}
}
