package sshd

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSplitWords(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
		err  string
	}{
		{"", nil, ""},
		{" \t ", nil, ""},
		{"list-units", []string{"list-units"}, ""},
		{" stop  web@1\tdb ", []string{"stop", "web@1", "db"}, ""},
		{"stop web@*.service", []string{"stop", "web@*.service"}, ""},
		{`journal --grep 'a b; c' "d \"e\" f" g\ h ''`, []string{"journal", "--grep", "a b; c", `d "e" f`, "g h", ""}, ""},
		{`'a'"b"\c`, []string{"abc"}, ""},
		{`"a\b"`, []string{`a\b`}, ""},
		{"list-units; reboot", nil, "what ; means"},
		{"list-units && reboot", nil, "what & means"},
		{"list-units | sh", nil, "what | means"},
		{"list-units > /etc/passwd", nil, "what > means"},
		{"submit web.service < /etc/shadow", nil, "what < means"},
		{"stop $(reboot)", nil, "what $ means"},
		{"stop `reboot`", nil, "what ` means"},
		{`stop "$(reboot)"`, nil, "what $ means"},
		{"stop a\nreboot", nil, "control characters"},
		{"stop a\x00", nil, "control characters"},
		{"stop \x1b[2J", nil, "control characters"},
		{"stop \xff", nil, "UTF-8"},
		{"stop 'a", nil, "not closed"},
		{`stop "a`, nil, "not closed"},
		{`stop a\`, nil, `ends in a \`},
		{strings.Repeat("a", maxLine+1), nil, "longer"},
		{strings.Repeat("a ", maxWords+2), nil, "more than"},
	} {
		got, err := splitWords(c.line)
		if c.err == "" && (err != nil || !slices.Equal(got, c.want)) {
			t.Errorf("%.60q: %q, %v; want %q", c.line, got, err, c.want)
		}
		if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || got != nil) {
			t.Errorf("%.60q: %q, %v; want an error with %q", c.line, got, err, c.err)
		}
	}
}

// quote writes a word so that any shell takes it as it is.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

func TestQuotedWordsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringOfN(rapid.RuneFrom([]rune("ab@ *?'\"\\$;|é漢")), 0, 8, -1), 1, 6).Draw(t, "words")
		var line []string
		for _, w := range words {
			line = append(line, quote(w))
		}
		got, err := splitWords(strings.Join(line, " "))
		if err != nil || !slices.Equal(got, words) {
			t.Fatalf("%q came back as %q, %v", words, got, err)
		}
	})
}

func FuzzSplitWords(f *testing.F) {
	for _, seed := range []string{"list-units", "stop 'web@1' \"db\"", `a\ b`, "x;y", "$(x)", "'", `"\`, "a\x00b", "  ", `''`, "journal -f --grep 'a|b' web", "é 漢"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := splitWords(line)
		if err != nil {
			if words != nil || len(err.Error()) > 200 {
				t.Fatalf("%q: %q with %v", line, words, err)
			}
			return
		}
		// What it means can be said in the plainest way, and means the same.
		var plain []string
		for _, w := range words {
			plain = append(plain, quote(w))
		}
		if text := strings.Join(plain, " "); len(text) <= maxLine {
			again, err := splitWords(text)
			if err != nil || !slices.Equal(again, words) {
				t.Fatalf("%q: %q, and again %q, %v", line, words, again, err)
			}
		}
		if !strings.ContainsAny(line, `'"\`) && (strings.ContainsAny(line, shellsOwn) || !slices.Equal(words, strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' }))) {
			t.Fatalf("%q without quotes: %q", line, words)
		}
	})
}
