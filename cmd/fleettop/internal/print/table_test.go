package print_test

import (
	"bytes"
	"testing"

	"fleettop/cmd/fleettop/internal/print"
)

func TestTableIsAlignedByWidth(t *testing.T) {
	var b bytes.Buffer
	rows := [][]print.Cell{
		{print.Coloured("NAME", print.Bold), print.Coloured("X", print.Bold)},
		{print.Text("日本"), print.Coloured("1", print.Green)},
		{print.Text("e\u0301"), print.Text("2")},
	}
	if err := print.Table(&b, false, rows); err != nil {
		t.Fatal(err)
	}
	if want := "NAME  X\n日本  1\ne\u0301     2\n"; b.String() != want {
		t.Errorf("table:\n%swant\n%s", b.String(), want)
	}
	b.Reset()
	if err := print.Table(&b, true, rows[1:2]); err != nil {
		t.Fatal(err)
	}
	if want := "日本  \x1b[32m1\x1b[0m\n"; b.String() != want {
		t.Errorf("coloured: %q", b.String())
	}
}
