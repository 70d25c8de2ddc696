package keys

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the README's section anew")

func TestNoKeyDoesTwoThings(t *testing.T) {
	if err := Overlaps(Table()); err != nil {
		t.Error(err)
	}
	two := []Binding{{Action: "a", Keys: []string{"x"}, Place: Units | Logs},
		{Action: "b", Keys: []string{"y", "x"}, Place: Logs}}
	if err := Overlaps(two); err == nil || !strings.Contains(err.Error(), "x is for a and for b") {
		t.Errorf("an overlap is %v", err)
	}
	two[1].Place = Machines
	if err := Overlaps(two); err != nil {
		t.Errorf("keys of different places overlap: %v", err)
	}
}

func TestTableIsWhole(t *testing.T) {
	seen := map[Action]bool{}
	for _, b := range Table() {
		if seen[b.Action] || b.Help == "" || b.Word == "" || b.Group == "" || b.Place == 0 || len(b.Keys) == 0 {
			t.Errorf("%+v is there twice, or not whole", b)
		}
		seen[b.Action] = true
	}
}

func TestRemapping(t *testing.T) {
	m, warnings := NewMap(map[string][]string{"stop": {"f8"}, "mark": {"space"}, "quit": {"alt+q", "ctrl+q"},
		"up": {}}, false, false)
	if len(warnings) > 0 {
		t.Fatal(warnings)
	}
	if m.Action(Units, "x") != "" || m.Action(Units, "f8") != Stop || m.Action(Units, " ") != Mark {
		t.Error("the keys are not those chosen")
	}
	if m.Action(Machines, "K") != "" {
		t.Error("machines can be powered off outside of the demo")
	}
	for _, c := range []struct{ action, key, warning string }{
		{"stop", "s", "s is for start and for stop"}, {"nonsense", "x", `no action "nonsense"`}, {"stop", "crtl+x",
			`"crtl+x"`}, {"stop", "F8", `"F8"`}, {"stop", "page-down", `"page-down"`},
	} {
		m, warnings := NewMap(map[string][]string{c.action: {c.key}}, false, false)
		if len(warnings) != 1 || !strings.Contains(warnings[0], c.warning) {
			t.Errorf("%s on %s: %q, want one warning with %q", c.action, c.key, warnings, c.warning)
		}
		if m.Action(Units, "x") != Stop || m.Action(Units, "s") != Start {
			t.Errorf("%s on %s changes other keys", c.action, c.key)
		}
	}
	ro, _ := NewMap(nil, true, true)
	for _, b := range ro.Table() {
		if b.Acts {
			t.Errorf("%s acts, and this only reads", b.Action)
		}
	}
}

// TestReadmeHasTheTable holds what stands between the marks in the README, if
// they are there.
func TestReadmeHasTheTable(t *testing.T) {
	const path, begin, end = "../../README.md", "<!-- keys -->\n", "<!-- /keys -->"
	raw, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), begin)
	section, after, closed := strings.Cut(rest, end)
	if !ok || !closed || section == markdown() {
		return
	}
	if !*update {
		t.Fatalf("the keys in the README are not those of the table: run this test with -update")
	}
	if err := os.WriteFile(path, []byte(before+begin+markdown()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// markdown is the table as the README has it.
func markdown() string {
	var b strings.Builder
	group := ""
	for _, k := range Table() {
		if k.Group != group {
			group = k.Group
			fmt.Fprintf(&b, "\n| %s | |\n|---|---|\n", group)
		}
		shown := make([]string, len(k.Keys))
		for i, key := range k.Keys {
			shown[i] = "`" + Show(key) + "`"
		}
		fmt.Fprintf(&b, "| %s | %s |\n", strings.Join(shown, " "), strings.ReplaceAll(k.Help, "|", `\|`))
	}
	return strings.TrimPrefix(b.String(), "\n")
}
