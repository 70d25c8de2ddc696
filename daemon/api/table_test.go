package api

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"fleettop/units"
)

func TestTableSurvivesTheWire(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune("\\\\\t\n\r tn"))))
	rapid.Check(t, func(t *rapid.T) {
		in := UnitTable{Revision: rapid.Int64Min(0).Draw(t, "revision"), Machines: []MachineRef{{ID: "1"}}, Rows: []UnitRow{}}
		for range rapid.IntRange(0, 5).Draw(t, "rows") {
			f := func(label string) string { return text.Draw(t, label) }
			in.Rows = append(in.Rows, UnitRow{Unit: f("unit"), Description: f("desc"), Hash: f("hash"), Running: f("running"),
				Desired: units.DesiredState(f("desired")),
				State:   units.DesiredState(f("state")), Global: rapid.Bool().Draw(t,
					"global"), Machine: f("machine"), Leaving: rapid.Bool().Draw(t, "leaving"),
				Load: f("load"), Active: f("active"), Sub: f("sub"), Reason: f("reason"), Error: f("error")})
		}
		raw, err := in.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var out UnitTable
		if err := out.Decode(raw); err != nil || !reflect.DeepEqual(in, out) {
			t.Fatalf("%v\nin  %+v\nout %+v", err, in, out)
		}
		if len(raw) > 0 && out.Decode(raw[:len(raw)-1]) == nil {
			t.Fatal("a table that is cut off was taken for whole")
		}
	})
}
