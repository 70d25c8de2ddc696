package process

import (
	"testing"

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
