package process

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/units"
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
		{in: `a\`, err: "backslash"},
		{in: `\x00`, err: "null"},
		{in: `\ud800`, err: "not a character"},
		{in: `\777`, err: "not a character"},
	} {
		got, err := splitWords(test.in)
		if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("splitWords(%q): error %v, want one with %q", test.in, err, test.err)
		}
		if err == nil && !slices.Equal(got, test.want) {
			t.Errorf("splitWords(%q) = %q, want %q", test.in, got, test.want)
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
		got, err := splitCommands(in)
		if err != nil || !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("splitCommands(%q) = %q, %v, want %q", in, got, err, want)
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
		got, err := splitWords(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(got, words) {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

func FuzzSplitCommands(f *testing.F) {
	for _, s := range []string{"", `a "b c" ; d`, `\x41 \u00e9 '`, `-@+:/bin/sh $A ${B} $$ %n %%`, "a \\; b\t;\n;"} {
		f.Add(s)
	}
	name, err := units.ParseName("web@1.service")
	if err != nil {
		f.Fatal(err)
	}
	sp := &specifiers{name: name, host: testHost()}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := splitCommands(s)
		if err != nil {
			return
		}
		total := 0
		for _, words := range list {
			if len(words) == 0 {
				t.Fatal("a command without words")
			}
			for _, w := range words {
				total += len(w)
			}
		}
		if total > len(s) {
			t.Fatalf("%d bytes of words from %d bytes", total, len(s))
		}
		cmds, err := parseCommands("ExecStart", s, 1, sp)
		for _, c := range cmds {
			if err == nil && len(c.argv(map[string]string{"A": "x y", "B": `"`})) == 0 {
				t.Fatal("a command without arguments")
			}
		}
	})
}

func TestParseTimespan(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"0": 0, "90": 90 * time.Second, "5min 20s": 320 * time.Second, "5min20s": 320 * time.Second, " 250ms ": 250 * time.Millisecond,
		"1.5h": 90 * time.Minute, "2 days 3 hours": 51 * time.Hour, "1w": 168 * time.Hour, "100us": 100 * time.Microsecond,
		"infinity": forever, "1M": month, "1y": year, ".5s": 500 * time.Millisecond, "3 µs": 3 * time.Microsecond,
	} {
		if got, err := parseTimespan(in); err != nil || got != want {
			t.Errorf("parseTimespan(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "abc", "-5", "5 parsecs", "1.2.3", "999999999y", "infinity 5s", "5s infinity"} {
		if got, err := parseTimespan(in); err == nil {
			t.Errorf("parseTimespan(%q) = %v, want an error", in, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)/1000).Draw(t, "µs")) * time.Microsecond
		h, m := d/time.Hour, d%time.Hour/time.Minute
		s := strings.Join([]string{itoa(h) + "h", itoa(m) + "min", itoa(d%time.Minute/time.Microsecond) + "us"}, rapid.SampledFrom([]string{"", " ", "  "}).Draw(t, "gap"))
		if got, err := parseTimespan(s); err != nil || got != d {
			t.Fatalf("parseTimespan(%q) = %v, %v, want %v", s, got, err, d)
		}
	})
}

func itoa(d time.Duration) string { return strconv.FormatInt(int64(d), 10) }
