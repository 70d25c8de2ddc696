package process

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/units"
)

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
		list, err := units.SplitCommands(s)
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
