package units

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSplitWords(t *testing.T) {
	for _, test := range []struct {
		in   string
		want []string
		err  string
	}{
		{in: "", want: nil},
		{in: "  a\tb  ", want: []string{"a", "b"}},
		{in: `"a b" 'c d'`, want: []string{"a b", "c d"}},
		{in: `x"a b"y`, want: []string{"xa by"}},
		{in: `"" ''`, want: []string{"", ""}},
		{in: `"it's" 'say "hi"'`, want: []string{"it's", `say "hi"`}},
		{in: `a\tb \x41\102\u00e9\U0001F600 \s`, want: []string{"a\tb", "AB\u00e9\U0001F600", " "}},
		{in: `\q \x4 \xzz`, want: []string{`\q`, `\x4`, `\xzz`}},
		{in: `a\ b`, want: []string{`a\ b`}}, // an unknown escape stays, and its blank with it
		{in: `'\n'`, want: []string{"\n"}},
		{in: `"open`, err: "not closed"},
		{in: `a\`, want: []string{`a\`}},
		{in: `\x00 \0 \000`, want: []string{`\x00`, `\0`, `\000`}}, // what is no character stays, too
		{in: `\ud800 \777`, want: []string{`\ud800`, `\777`}},
	} {
		got, err := SplitWords(test.in)
		if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("SplitWords(%q): error %v, want one with %q", test.in, err, test.err)
		}
		if err == nil && !slices.Equal(got, test.want) {
			t.Errorf("SplitWords(%q) = %q, want %q", test.in, got, test.want)
		}
	}
}

func TestSplitCommands(t *testing.T) {
	for in, want := range map[string][][]string{
		`a b ; c ;`:       {{"a", "b"}, {"c"}},
		`; ;`:             nil,
		`a \; b`:          {{"a", ";", "b"}},
		`a ";" b;c`:       {{"a", ";", "b;c"}},
		`sh -c "x; y" ;z`: {{"sh", "-c", "x; y", ";z"}},
	} {
		got, err := SplitCommands(in)
		if err != nil || !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("SplitCommands(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

// quote writes a word so that splitting gives it back.
func quote(w string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(w) + `"`
}

func TestSplitGivesBackWhatWasQuoted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(rapid.StringMatching(`[^\x00]*`)).Draw(t, "words")
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, quote(w))
		}
		got, err := SplitWords(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(got, words) {
			t.Fatalf("%q, %v", got, err)
		}
	})
}
