package linediff

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func shown(list []Line) string {
	var b strings.Builder
	for _, l := range list {
		if l.Sign != 0 {
			b.WriteByte(l.Sign)
		}
		b.WriteString(l.Text + "|")
	}
	return b.String()
}

func TestCompare(t *testing.T) {
	long := ""
	for i := range 9 {
		long += fmt.Sprintln(i)
	}
	for _, c := range []struct{ before, after, want string }{
		{"a\n", "a\n", ""},
		{"a\nb\nc\n", "a\nx\nc\n", " a|-b|+x| c|"},
		{"", "a\n", "+a|"},
		{"a\n", "", "-a|"},
		{"a", "a\n", "-a (no newline at the end)|+a|"},
		{"a\nb\nc\nd\n", "b\nd\ne\n", "-a| b|-c| d|+e|"},
		{long, strings.Replace(long, "5\n", "x\n", 1), "… 4 lines as before| 4|-5|+x| 6|… 2 lines as before|"},
		{long, strings.Replace(long, "2\n", "", 1), " 0| 1|-2| 3|… 5 lines as before|"},
	} {
		if got := shown(Compare(c.before, c.after, 1)); got != c.want {
			t.Errorf("%q to %q: %q, want %q", c.before, c.after, got, c.want)
		}
	}
}

// TestBothTextsCanBeReadFromIt holds that nothing is left out or made up, for any two texts.
func TestBothTextsCanBeReadFromIt(t *testing.T) {
	text := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "", "[Unit]"}), 0, 30)
	rapid.Check(t, func(rt *rapid.T) {
		before, after := text.Draw(rt, "before"), text.Draw(rt, "after")
		var was, is []string
		for _, l := range whole(before, after) {
			if l.Sign != '+' {
				was = append(was, l.Text)
			}
			if l.Sign != '-' {
				is = append(is, l.Text)
			}
		}
		if strings.Join(was, "\n") != strings.Join(before, "\n") || strings.Join(is, "\n") != strings.Join(after, "\n") {
			rt.Fatalf("%q and %q are read from the comparison of %q and %q", was, is, before, after)
		}
	})
}

// TestTextsTooLargeToCompareAreReplaced, rather than taking all memory.
func TestTextsTooLargeToCompareAreReplaced(t *testing.T) {
	var before, after strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&before, "a%d\n", i)
		fmt.Fprintf(&after, "b%d\n", i)
	}
	if added, removed := Count(Compare(before.String(), after.String(), 3)); added != 4000 || removed != 4000 {
		t.Errorf("%d added, %d removed", added, removed)
	}
}
