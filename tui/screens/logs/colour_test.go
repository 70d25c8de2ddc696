package logs

import (
	"slices"
	"strings"
	"testing"

	"fleettop/journal"
	"fleettop/tui/draw"
)

const (
	red = iota
	green
	yellow
	blue
	magenta
	cyan
)

// parts are a message's parts as they are shown: the colours by their first letters, - for none.
func parts(message string) string {
	e := newEntry(journal.Entry{Message: message})
	var out []string
	for _, p := range inColours(e.view, 0, e.hues) {
		if p.text != "" {
			out = append(out, "-rgybmc"[p.colour+1:p.colour+2]+" "+p.text)
		}
	}
	return strings.Join(out, "|")
}

func TestColoursOfALine(t *testing.T) {
	for message, want := range map[string]string{
		"plain":                      "- plain",
		"\x1b[31mred\x1b[0m and not": "r red|-  and not",
		"\x1b[1;32mINFO\x1b[m x":     "g INFO|-  x",
		"a\x1b[93mb\x1b[39mc":        "- a|y b|- c",
		"\x1b[38;5;196mx\x1b[38;2;10;10;200my\x1b[0;38;5;245mz": "r x|b y|- z",
		"\x1b[38;5;14mx\x1b[48;5;1my\x1b[41;36mz":               "c xyz",
		"\x1b[38;2;200;0;190mx":                                 "m x",
		// Black and white text, and backgrounds, may not be seen on a terminal: they are left out.
		"\x1b[30mblack\x1b[37mwhite\x1b[40mon black": "- blackwhiteon black",
		// What isn't a colour is shown, and not obeyed.
		"\x1b[8mhidden\x1b[2J\x1b]0;title\x07":      "- ^[[8mhidden^[[2J^[]0;title^G",
		"\x1b[31;7mx":                               "- ^[[31;7mx",
		"\x1b[31":                                   "- ^[[31",
		"\x1b[38;5mx":                               "- ^[[38;5mx",
		"\x1b[38;2;1;2;999mx":                       "- ^[[38;2;1;2;999mx",
		"\x1b[1:2mx":                                "- ^[[1:2mx",
		"\x1b[31m\ttab \x07\x1b[32mnext":            "r     tab ^G|g next",
		"\x1b[" + strings.Repeat("0;", 60) + "31mx": "- ^[[" + strings.Repeat("0;", 60) + "31mx",
	} {
		if got := parts(message); got != want {
			t.Errorf("%q is %q, want %q", message, got, want)
		}
	}
}

// TestColoursInBrokenLines: each line has the colours of its own part of the text.
func TestColoursInBrokenLines(t *testing.T) {
	e := newEntry(journal.Entry{Message: "one two \x1b[31mthree four five\x1b[0m six seven"})
	at := 0
	var got []string
	for _, line := range e.broken(11) {
		at += strings.Index(e.view[at:], line)
		for _, p := range inColours(line, at, e.hues) {
			got = append(got, "-rgybmc"[p.colour+1:p.colour+2]+" "+p.text)
		}
		at += len(line)
	}
	want := []string{"- one two", "r three four", "r five", "-  six", "- seven"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// FuzzColours: whatever a line has, what is shown of it can't steer a terminal, and loses nothing but colours.
func FuzzColours(f *testing.F) {
	for _, s := range []string{"plain", "\x1b[31mred\x1b[0m", "\x1b[38;5;196", "\x1b[\x1b[31mm", "\x9b31m", "a\x1b[;;mb\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, message string) {
		e := newEntry(journal.Entry{Message: message})
		if strings.IndexFunc(e.view, draw.Steers) >= 0 {
			t.Fatalf("%q is shown as %q", message, e.view)
		}
		all := ""
		for _, p := range inColours(e.view, 0, e.hues) {
			if all += p.text; p.colour < noColour || p.colour > cyan {
				t.Fatalf("%q has colour %d", message, p.colour)
			}
		}
		if all != e.view {
			t.Fatalf("%q is shown as %q, and drawn as %q", message, e.view, all)
		}
		if !strings.Contains(message, "m") && len(message) < viewMost && e.view != draw.Clean(message) {
			t.Fatalf("%q has no colours and is shown as %q", message, e.view)
		}
	})
}
