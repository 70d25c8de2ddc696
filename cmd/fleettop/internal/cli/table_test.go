package cli

import (
	"bytes"
	"testing"
)

func TestTableIsAlignedByWidth(t *testing.T) {
	var b bytes.Buffer
	rows := [][]cell{{{"NAME", bold}, {"X", bold}}, {{"日本", ""}, {"1", green}}, {{"e\u0301", ""}, {"2", ""}}}
	if err := writeTable(&b, false, rows); err != nil {
		t.Fatal(err)
	}
	if want := "NAME  X\n日本  1\ne\u0301     2\n"; b.String() != want {
		t.Errorf("table:\n%swant\n%s", b.String(), want)
	}
	b.Reset()
	if err := writeTable(&b, true, rows[1:2]); err != nil {
		t.Fatal(err)
	}
	if want := "日本  \x1b[32m1\x1b[0m\n"; b.String() != want {
		t.Errorf("coloured: %q", b.String())
	}
}
