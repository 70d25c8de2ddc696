package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "Yes\n": true, " y \n": true, "y": true, "n\n": false,
		"\n": false, "": false, "yep\n": false} {
		var out bytes.Buffer
		a := &app{err: &out}
		got, err := a.confirm(t.Context(), bufio.NewReader(strings.NewReader(answer)), "Go on?")
		if got != want || err != nil || !strings.HasPrefix(out.String(), "Go on? [y/N] ") {
			t.Errorf("%q: %v, %v, %q", answer, got, err, &out)
		}
	}
	// An interrupt at the question ends the verb, not only the next one.
	in, write := io.Pipe()
	defer write.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := &app{err: io.Discard}
	if _, err := a.confirm(ctx, bufio.NewReader(in), "Go on?"); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
