package draw

import (
	"strings"
	"testing"
	"unicode"

	"github.com/charmbracelet/x/ansi"
	"pgregory.net/rapid"
)

func TestCellsAreAsWideAsAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Buf
		width := rapid.IntRange(1, 60).Draw(t, "width")
		b.Reset(width)
		ink := Ink{On: "\x1b[31m"}
		if rapid.Bool().Draw(t, "base") {
			b.Base(Ink{On: "\x1b[7m", Solid: true})
		}
		for range rapid.IntRange(0, 6).Draw(t, "cells") {
			text := Clean(rapid.SampledFrom([]string{"web@1.service", "数据库", "é", "", "a\x1b[2Jb", "→ n1", "👩‍👧"}).Draw(t,
				"text"))
			w, before := rapid.IntRange(0, 20).Draw(t, "w"), b.Col()
			b.Cell(text, w, Align(rapid.IntRange(0, 2).Draw(t, "align")), ink)
			if got, want := b.Col()-before, min(w, width-before); got != want {
				t.Fatalf("a cell of %d is %d wide", want, got)
			}
		}
		col := b.Col()
		b.End()
		line := b.String()
		if w := ansi.StringWidth(line); w != col && w != width {
			t.Fatalf("the line is %d wide, and says %d: %q", w, col, line)
		}
	})
}

func TestCleanTextSteersNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := Clean(string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text"))
		for _, r := range text {
			if unicode.IsControl(r) || r >= 0x202a && r <= 0x202e {
				t.Fatalf("%q has %q in it", text, r)
			}
		}
		if Clean(text) != text {
			t.Fatalf("clean text is cleaned to %q", Clean(text))
		}
	})
}

func TestOverlay(t *testing.T) {
	screen := strings.Join([]string{"aaaaaa", "\x1b[31mbbbbbb\x1b[m", "数数数"}, "\n")
	got := strings.Split(ansi.Strip(Overlay(screen, []string{"XX", "YY"}, 2, 1)), "\n")
	if got[0] != "aaaaaa" || got[1] != "bbXXbb" || got[2] != "数YY数" {
		t.Errorf("%q", got)
	}
}

func TestWrapKeepsNamesWhole(t *testing.T) {
	for text, want := range map[string]string{
		"see web-server@1.service":        "see|web-server@1.service",
		"it fits":                         "it fits",
		"one\ntwo":                        "one|two",
		"a word-that-is-longer-than-that": "a|word-that-is-longer-th|an-that",
	} {
		if got := strings.Join(Wrap(text, 22), "|"); got != want {
			t.Errorf("%q is broken to %q, want %q", text, got, want)
		}
	}
}
