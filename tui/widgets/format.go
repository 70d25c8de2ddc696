package widgets

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"fleettop/tui/draw"
	"fleettop/tui/state"
	"fleettop/tui/theme"
)

// Age is a duration in a few columns: 12s, 4m, 3h, 9d. It changes no faster
// than its unit.
func Age(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + "s"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	}
	return strconv.Itoa(int(d/(24*time.Hour))) + "d"
}

// Since is the age of a time; a dash for none.
func Since(t, now time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return Age(now.Sub(t))
}

// Watch is a running stopwatch: tenths of a second, then seconds.
func Watch(d time.Duration) string {
	if d < time.Minute {
		return strconv.FormatFloat(d.Truncate(100*time.Millisecond).Seconds(), 'f', 1, 64) + "s"
	}
	return Age(d)
}

// Outage is a measured time, to hundredths of a second.
func Outage(d time.Duration) string {
	if d < time.Minute {
		return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + "s"
	}
	return d.Round(time.Second).String()
}

// Bytes is an amount of memory in four or five columns.
func Bytes(n int64) string {
	const units = "BKMGTP"
	f, i := float64(n), 0
	for f >= 1000 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	prec := 0
	if f < 10 && i > 1 {
		prec = 1
	}
	return strconv.FormatFloat(f, 'f', prec, 64) + units[i:i+1]
}

// Cores is CPU use as top shows it: percent of one core.
func Cores(c float64) string {
	p := c * 100
	if p < 9.95 {
		return strconv.FormatFloat(p, 'f', 1, 64)
	}
	return strconv.FormatFloat(p, 'f', 0, 64)
}

// Spark is a history of shares as a line of n bars, the newest at the right.
func Spark(t *theme.Theme, history []float64, n int) string {
	var b strings.Builder
	for i := len(history) - n; i < len(history); i++ {
		if i < 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteString(t.Sparks[min(len(t.Sparks)-1, int(history[i]*float64(len(t.Sparks))))])
	}
	return b.String()
}

// Glyph is the symbol of a mood.
func Glyph(t *theme.Theme, m state.Mood) string {
	return [...]string{t.Glyphs.Idle, t.Glyphs.Good, t.Glyphs.Busy, t.Glyphs.Bad}[m]
}

// Ink is the ink of a mood.
func Ink(t *theme.Theme, m state.Mood) draw.Ink {
	return [...]draw.Ink{t.Idle, t.Good, t.Busy, t.Bad}[m]
}

// UnitName is a unit's name, without what goes without saying where room is short.
func UnitName(name string, w int) string {
	if len(name) > w {
		return strings.TrimSuffix(name, ".service")
	}
	return name
}

// Clauses breaks a sentence into at most some lines: between its clauses where
// it can, and never between a number and its unit. What there is no room for
// is left out by clauses, so that what is there can be read.
func Clauses(text string, width, lines int) []string {
	var out []string
	ends := append(clauseEnd.FindAllStringIndex(text, -1), []int{len(text), len(text)})
	from, sep := 0, ""
	for _, end := range ends {
		clause := text[from:end[0]]
		n := len(out)
		if n > 0 && draw.Width(out[n-1])+len(sep)+draw.Width(clause) <= width {
			out[n-1] += sep + clause
		} else {
			broken := draw.Wrap(amount.ReplaceAllString(clause, "$1\u00a0$2"), width)
			if n > 0 && n+len(broken) > lines {
				break
			}
			for _, line := range broken {
				out = append(out, strings.ReplaceAll(line, "\u00a0", " "))
			}
		}
		from, sep = end[1], text[end[0]:end[1]]
	}
	if len(out) > lines {
		out[lines-1] = draw.Fit(out[lines-1]+" "+out[lines], width)
		out = out[:lines]
	}
	return out
}

var (
	clauseEnd = regexp.MustCompile(`[,;] `)
	amount    = regexp.MustCompile(`(\d) (s|ms|min|h)\b`) // and its unit
)
