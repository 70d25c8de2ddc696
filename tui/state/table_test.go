package state_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"fleettop/daemon/api"
	"fleettop/tui/state"
	"fleettop/tui/tuitest"
)

// TestSortedByUse: whatever the figures are, rows are in their order, and those that use as much in that of their names.
func TestSortedByUse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const count = 12
		r := fold(tuitest.Cluster(3, count))
		use := map[string]float64{}
		for m := 1; m <= 3; m++ {
			st := api.Stats{Machine: tuitest.MachineID(m)}
			for i := m; i <= count; i += 3 {
				u := api.UnitStats{Name: fmt.Sprintf("web@%d.service", i), CPU: float64(rapid.IntRange(0, 3).Draw(t, "cpu"))}
				u.Memory = int64(u.CPU)
				if rapid.Bool().Draw(t, "known") {
					st.Units = append(st.Units, u)
					use[u.Name] = u.CPU
				}
			}
			r.PutStats(st)
		}
		for _, column := range []state.Column{state.ByCPU, state.ByMemory} {
			for _, down := range []bool{false, true} {
				var table state.Table
				items := table.Items(r.Snapshot(noon), state.Query{}, state.Order{Column: column, Down: down}, "")
				if len(items) != count || !slices.IsSortedFunc(items, func(a, b state.Item) int {
					x, y := use[a.Row.Unit], use[b.Row.Unit]
					switch {
					case x == y && a.Row.ID < b.Row.ID, x < y && !down, x > y && down:
						return -1
					}
					return 1
				}) {
					t.Fatalf("by %s, down %v: %d rows, out of order", column, down, len(items))
				}
			}
		}
	})
}
