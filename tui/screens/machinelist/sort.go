package machinelist

import (
	"slices"

	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/widgets"
)

// sorts are the titles of the columns that a key of their own sorts by.
var sorts = map[keys.Action]string{keys.SortName: "MACHINE", keys.SortState: "STATE", keys.SortCount: "UNITS",
	keys.SortCPU: "CPU%", keys.SortMemory: "MEM", keys.SortAge: "UP"}

// figures are the titles of columns whose greatest figures are looked for.
var figures = []string{"UNITS", "CPU%", "MEM", "LOAD"}

// sortBy sorts by a column, as one looks for it: of figures the greatest
// first. A second time turns the order around.
func (s *Screen) sortBy(column int) {
	if s.order.column == column {
		s.order.down = !s.order.down
		return
	}
	s.order = order{column, slices.Contains(figures, columns[column].Title)}
}

func columnOf(title string) int {
	return slices.IndexFunc(columns, func(c column) bool { return c.Title == title })
}

// layout chooses the columns; the one that is sorted by is among them.
func (s *Screen) layout() (heads []widgets.Column, widths []int) {
	heads = make([]widgets.Column, len(columns))
	for i, c := range columns {
		heads[i] = c.Column
	}
	heads[s.order.column].Priority = 0
	return heads, widgets.Layout(heads, s.Width-2)
}

// ClickHead sorts by the column whose title was clicked.
func (s *Screen) ClickHead(_ *screens.Env, x int) {
	_, widths := s.layout()
	if i := widgets.ColumnAt(widths, x-2); i >= 0 {
		s.sortBy(i)
	}
}
