// Package linediff compares two texts line by line, for a reader who is to see
// what a change does before it is applied.
package linediff

import (
	"fmt"
	"slices"
	"strings"
)

// tableMost bounds the table of the comparison, in cells. Texts that differ in
// more are shown as replaced.
const tableMost = 4 << 20

// Line is a line of a comparison.
type Line struct {
	Sign byte // ' ' is in both, '-' only before, '+' only after; 0 stands for lines left out
	Text string
}

// Compare returns what changed from one text to another, with so many lines
// that are in both around each change. It returns nil for equal texts.
func Compare(before, after string, around int) []Line {
	if before == after {
		return nil
	}
	return shorten(whole(lines(before), lines(after)), around)
}

// Count returns how many lines were added and removed.
func Count(list []Line) (added, removed int) {
	for _, l := range list {
		switch l.Sign {
		case '+':
			added++
		case '-':
			removed++
		}
	}
	return added, removed
}

// noNewline marks the last line of a text that doesn't end it, so that only
// that difference shows, too.
const noNewline = " (no newline at the end)"

func lines(text string) []string {
	if text == "" {
		return nil
	}
	list := strings.Split(text, "\n")
	last := len(list) - 1
	if list[last] == "" {
		return list[:last]
	}
	list[last] += noNewline
	return list
}

// whole compares all lines: the longest common subsequence is in both.
func whole(a, b []string) []Line {
	var out []Line
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		out = append(out, Line{' ', a[0]})
		a, b = a[1:], b[1:]
	}
	var tail []Line
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		tail = append(tail, Line{' ', a[len(a)-1]})
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	slices.Reverse(tail)
	return append(append(out, middle(a, b)...), tail...)
}

func middle(a, b []string) []Line {
	var out []Line
	common := func(int, int) int32 { return 0 }
	if (len(a)+1)*(len(b)+1) <= tableMost {
		common = table(a, b)
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, Line{' ', a[i]})
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common(i+1, j) >= common(i, j+1)):
			out = append(out, Line{'-', a[i]})
			i++
		default:
			out = append(out, Line{'+', b[j]})
			j++
		}
	}
	return out
}

// table returns how many lines the rests of two texts have in common, in order.
func table(a, b []string) func(i, j int) int32 {
	wide := len(b) + 1
	cells := make([]int32, (len(a)+1)*wide)
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				cells[i*wide+j] = cells[(i+1)*wide+j+1] + 1
			} else {
				cells[i*wide+j] = max(cells[(i+1)*wide+j], cells[i*wide+j+1])
			}
		}
	}
	return func(i, j int) int32 { return cells[i*wide+j] }
}

// shorten leaves out lines that are far from any change.
func shorten(all []Line, around int) []Line {
	near := make([]bool, len(all))
	for i, l := range all {
		if l.Sign != ' ' {
			for k := max(0, i-around); k <= min(len(all)-1, i+around); k++ {
				near[k] = true
			}
		}
	}
	var out []Line
	for i := 0; i < len(all); {
		from := i
		for i < len(all) && !near[i] {
			i++
		}
		switch n := i - from; {
		case n == 1:
			out = append(out, all[from])
		case n > 1:
			out = append(out, Line{0, fmt.Sprintf("… %d lines as before", n)})
		}
		for i < len(all) && near[i] {
			out = append(out, all[i])
			i++
		}
	}
	return out
}
