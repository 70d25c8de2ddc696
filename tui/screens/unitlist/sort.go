package unitlist

import (
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
)

// sorts are the columns that a key of their own sorts by.
var sorts = map[keys.Action]state.Column{keys.SortName: state.ByUnit, keys.SortState: state.ByState,
	keys.SortMachine: state.ByMachine, keys.SortAge: state.BySince, keys.SortRestarts: state.ByRestarts,
	keys.SortCPU: state.ByCPU, keys.SortMemory: state.ByMemory}

// sortBy sorts by a column, as one looks for it: of figures the greatest
// first. A second time turns the order around.
func (s *Screen) sortBy(by state.Column) {
	if s.order.Column == by {
		s.order.Down = !s.order.Down
		return
	}
	s.order.Column = by
	s.order.Down = by == state.ByRestarts || by == state.ByCPU || by == state.ByMemory
}

// ClickHead sorts by the column whose title was clicked.
func (s *Screen) ClickHead(env *screens.Env, x int) {
	if i := widgets.ColumnAt(s.layout(env).widths, x-2); i >= 0 {
		s.sortBy(columns[i].by)
	}
}
