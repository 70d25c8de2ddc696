package state

import (
	"cmp"
	"slices"
	"strings"
)

// Column is what rows can be sorted by.
type Column string

// Columns of units.
const (
	ByUnit     Column = "UNIT"
	ByState    Column = "STATE"
	ByMachine  Column = "MACHINE"
	BySince    Column = "SINCE"
	ByRestarts Column = "RESTARTS"
	ByCPU      Column = "CPU"
	ByMemory   Column = "MEM"
	ByAbout    Column = "DESCRIPTION"
	ByHash     Column = "HASH"
)

// Grouping says what rows are put together by.
type Grouping uint8

// Groupings.
const (
	Ungrouped Grouping = iota
	GroupMachine
	GroupTemplate
	groupings
)

// Next is the grouping after this one.
func (g Grouping) Next() Grouping { return (g + 1) % groupings }

// String names a grouping.
func (g Grouping) String() string { return [...]string{"", "machine", "template"}[g] }

// Order is how rows are arranged.
type Order struct {
	Column Column
	Down   bool // the greatest first
	Group  Grouping
}

// Item is a row of a table, or the head of a group of them.
type Item struct {
	Row   *Row
	Head  string // of a group; Row is nil
	Count int    // rows in the group
	Bad   int    // those in trouble
}

// Key identifies an item from snapshot to snapshot.
func (i Item) Key() string {
	if i.Row == nil {
		return "\x00" + i.Head
	}
	return i.Row.ID
}

// Table arranges the rows of snapshots. What it arranged is kept until
// generation, filter or order change; it belongs to one goroutine.
type Table struct {
	gen   uint64
	query string
	order Order
	on    string
	made  bool

	rows  []*Row
	items []Item
}

// Items returns the rows that pass a filter, arranged; on limits them to one
// machine, if it isn't empty. The result is valid until the next call.
func (t *Table) Items(s *Snapshot, q Query, o Order, on string) []Item {
	if t.made && t.gen == s.Gen && t.query == q.text && t.order == o && t.on == on {
		return t.items
	}
	t.gen, t.query, t.order, t.on, t.made = s.Gen, q.text, o, on, true
	from := s.Rows
	if on != "" {
		from = nil
		if m := s.Machine(on); m != nil {
			from = append(slices.Clone(m.Rows), m.Leaving...)
			slices.SortFunc(from, compareRows)
			from = slices.Compact(from)
		}
	}
	t.rows = t.rows[:0]
	for _, r := range from {
		if q.Empty() || r.Matches(q) {
			t.rows = append(t.rows, r)
		}
	}
	sortRows(s, t.rows, o)
	t.items = group(t.items[:0], t.rows, o.Group)
	return t.items
}

func sortRows(s *Snapshot, rows []*Row, o Order) {
	by := comparison(s, o.Column)
	if by == nil && !o.Down && o.Group == Ungrouped {
		return // rows come by unit
	}
	if o.Column == ByState && !o.Down && o.Group == Ungrouped {
		sortByState(rows)
		return
	}
	if o.Group == Ungrouped && (o.Column == ByCPU || o.Column == ByMemory) {
		sortByUse(s, rows, o)
		return
	}
	slices.SortStableFunc(rows, func(a, b *Row) int {
		if o.Group != Ungrouped {
			if c := natural(groupOf(a, o.Group), groupOf(b, o.Group)); c != 0 {
				return c
			}
		}
		c := 0
		if by != nil {
			c = by(a, b)
		} else {
			c = cmp.Compare(a.Unit, b.Unit)
		}
		if o.Down {
			return -c
		}
		return c
	})
}

// sortByState puts rows in the order that the comparison of ByState has, the
// worst first. Nearly all of very many rows are well, and are not compared.
func sortByState(rows []*Row) {
	from, by := 0, comparison(nil, ByState)
	for mood := Bad; ; mood-- {
		to := from
		var others []*Row
		for _, r := range rows[from:] {
			if r.Mood == mood {
				rows[to] = r
				to++
			} else {
				others = append(others, r)
			}
		}
		copy(rows[to:], others)
		if group := rows[from:to]; slices.ContainsFunc(group, func(r *Row) bool { return r.Word != group[0].Word }) {
			slices.SortStableFunc(group, by)
		}
		if from = to; mood == Idle {
			return
		}
	}
}

// sortByUse puts rows in the order that the comparison of ByCPU or ByMemory has. The figures change
// all the time, and are looked up once a row.
func sortByUse(s *Snapshot, rows []*Row, o Order) {
	type used struct {
		row *Row
		use float64
		at  int
	}
	list := make([]used, len(rows))
	for i, r := range rows {
		u, _ := s.UseOf(r)
		list[i] = used{r, u.CPU, i}
		if o.Column == ByMemory {
			list[i].use = float64(u.Memory)
		}
	}
	sign := 1
	if o.Down {
		sign = -1
	}
	slices.SortFunc(list, func(a, b used) int { return cmp.Or(sign*cmp.Compare(a.use, b.use), a.at-b.at) })
	for i, u := range list {
		rows[i] = u.row
	}
}

// comparison of a column; nil for the order rows come in.
func comparison(s *Snapshot, c Column) func(a, b *Row) int {
	text := func(of func(*Row) string) func(a, b *Row) int {
		return func(a, b *Row) int { return cmp.Compare(of(a), of(b)) }
	}
	switch c {
	case ByState:
		return func(a, b *Row) int { return cmp.Or(-cmp.Compare(a.Mood, b.Mood), cmp.Compare(a.Word, b.Word)) }
	case ByAbout:
		return text(func(r *Row) string { return r.About })
	case ByMachine:
		return func(a, b *Row) int { return natural(a.Host, b.Host) }
	case BySince:
		return func(a, b *Row) int { return b.Since.Compare(a.Since) }
	case ByRestarts:
		return func(a, b *Row) int { return cmp.Compare(a.Restarts, b.Restarts) }
	case ByCPU:
		return func(a, b *Row) int {
			x, _ := s.UseOf(a)
			y, _ := s.UseOf(b)
			return cmp.Compare(x.CPU, y.CPU)
		}
	case ByMemory:
		return func(a, b *Row) int {
			x, _ := s.UseOf(a)
			y, _ := s.UseOf(b)
			return cmp.Compare(x.Memory, y.Memory)
		}
	case ByHash:
		return text(func(r *Row) string { return r.Hash })
	}
	return nil
}

func groupOf(r *Row, g Grouping) string {
	if g == GroupMachine {
		return cmp.Or(r.Host, "on no machine")
	}
	if r.Template != "" {
		return r.Template
	}
	if i := strings.IndexByte(r.Unit, '@'); i >= 0 && strings.HasPrefix(r.Unit[i:], "@.") {
		return r.Unit // the template itself
	}
	return "without a template"
}

func group(items []Item, rows []*Row, g Grouping) []Item {
	head := -1
	for _, r := range rows {
		if g != Ungrouped {
			if name := groupOf(r, g); head < 0 || items[head].Head != name {
				head = len(items)
				items = append(items, Item{Head: name})
			}
			items[head].Count++
			if r.Mood == Bad {
				items[head].Bad++
			}
		}
		items = append(items, Item{Row: r})
	}
	return items
}
