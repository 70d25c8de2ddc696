package logs

import (
	"strings"

	"fleettop/tui/draw"
	"fleettop/tui/screens"
)

const (
	chartLines   = 2
	chartFrom    = 15 // lines of the screen, for the chart to be shown
	chartColumns = 10 // at least
)

// charted reports whether there is room for the chart, and it is wanted.
func (s *Screen) charted() bool {
	return !s.flat && !s.panel && s.height >= chartFrom
}

// chart draws how many lines there are over time, the worst of them in colour, and below it which of them
// are visible: those from one entry to another.
func (s *Screen) chart(env *screens.Env, first, last int) {
	b, t, shown := &s.buf, env.Theme, s.page.shown
	from, to := shown[0].Time, shown[len(shown)-1].Time
	begins, ends := moment(from, env.Now), moment(to, env.Now)
	n := s.width - draw.Width(begins) - draw.Width(ends) - 4
	if n < chartColumns {
		b.End()
		b.End()
		return
	}
	columns := s.page.histogram.columns(from, to, n)
	// Few lines are counted over longer times, or there would be gaps between all of them.
	heights := s.page.histogram.columns(from, to, max(chartColumns, min(n, len(shown)/3)))
	most := 0
	for _, c := range heights {
		most = max(most, c.total())
	}
	b.Space(1)
	b.Text(begins+" ", t.Dim)
	start := b.Col()
	for i, c := range columns {
		ink := t.Dim
		switch {
		case c.errors > 0:
			ink = t.Bad
		case c.warnings > 0:
			ink = t.Busy
		}
		b.Text(bar(t.Sparks, heights[i*len(heights)/n].total(), most), ink)
	}
	b.Text(" "+ends, t.Dim)
	b.End()
	b.To(start)
	left, right := column(shown[first].Time, from, to, n), column(shown[last].Time, from, to, n)
	for i, c := range columns {
		switch {
		case i >= left && i <= right:
			b.Text(t.Box[4], t.Key)
		case c.errors > 0:
			b.Text(t.Glyphs.Bad, t.Bad)
		default:
			b.Space(1)
		}
	}
	b.End()
}

// bar is a column as high as its part of the highest.
func bar(sparks []string, n, most int) string {
	if n == 0 {
		return strings.Repeat(" ", draw.Width(sparks[0]))
	}
	return sparks[(n*len(sparks)-1)/most]
}
