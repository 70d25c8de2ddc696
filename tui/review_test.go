package tui

import (
	"os"
	"strings"
	"testing"

	"fleettop/tui/tuitest"
)

// typist is a host whose editor replaces texts.
type typist struct {
	*desk
	old, new string
	seen     []string // what the editor had before it
}

func (e *typist) Edit(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	e.seen = append(e.seen, string(raw))
	return os.WriteFile(path, []byte(strings.ReplaceAll(string(raw), e.old, e.new)), 0o600)
}

// TestAnEditIsShownBeforeItIsApplied, can be edited on, and is kept when it isn't.
func TestAnEditIsShownBeforeItIsApplied(t *testing.T) {
	b := newBench(t, 120, 30, false, false, tuitest.Cluster(3, 3))
	e := &typist{desk: b.desk, old: "Restart=always", new: "Restart=on-failure"}
	b.host = e
	b.press("2", "e")
	b.shows("Apply web@1.service? 1 line added, 1 removed")
	b.shows("- Restart=always")
	b.shows("+ Restart=on-failure")
	b.shows("It is restarted on n1.")
	if len(b.client.acted) > 0 {
		t.Fatalf("it was applied before anyone agreed: %+v", b.client.acted)
	}
	b.press("enter") // No is the default
	b.shows("Nothing was applied. Your text is kept for e on web@1.service.")

	e.old, e.new = "on-failure", "no"
	b.press("e")
	if got := e.seen[len(e.seen)-1]; !strings.Contains(got, "Restart=on-failure") {
		t.Errorf("the kept text is not in the editor: %q", got)
	}
	b.shows("+ Restart=no")
	e.old, e.new = "Restart=no", "Restart=on-abort"
	b.press("e") // edit again
	b.shows("+ Restart=on-abort")
	b.press("y")
	if got := b.client.acted; len(got) != 1 || !got[0].Replace || !strings.Contains(got[0].Files[0].Content, "on-abort") {
		t.Fatalf("it sent %+v", got)
	}
	b.shows("Applied web@1.service.")

	e.old, e.new = "no such text", ""
	b.press("e")
	b.shows("Nothing was changed.")
}

// TestANewUnitIsShownBeforeItIsSubmitted: all its lines, and what becomes of it.
func TestANewUnitIsShownBeforeItIsSubmitted(t *testing.T) {
	b := newBench(t, 120, 40, false, false, tuitest.Cluster(3, 3))
	e := &typist{desk: b.desk, old: "ExecStart=", new: "ExecStart=/bin/true"}
	b.host = e
	write := func(name string) { b.press("2", "n", "'"+name, "enter") }
	write("new.service")
	b.shows("Submit new.service? It is new: 9 lines")
	b.shows("+ [Unit]")
	b.shows("+ ExecStart=/bin/true")
	b.shows("It is made known to the cluster, and not started: s on it does that.")
	if len(b.client.acted) > 0 {
		t.Fatalf("it was submitted before anyone agreed: %+v", b.client.acted)
	}
	b.press("enter") // No is the default
	b.shows("Nothing was submitted. Your text is kept for n with the name new.service.")
	e.old, e.new = "# MachineMetadata=rack=1", "Global=true"
	write("new.service")
	b.shows("It is global: s on it starts it on every machine")
	e.old, e.new = "Global=true", "Globl=true"
	b.press("e") // edit again
	b.shows("It would be refused: ")
	e.old, e.new = "Globl=true", "Global=true"
	b.press("e")
	b.press("y")
	if got := b.client.acted; len(got) != 1 || got[0].Replace || !strings.Contains(got[0].Files[0].Content, "Global=true") {
		t.Fatalf("it sent %+v", got)
	}
	b.shows("Submitted new.service. Press s on it to start it.")
	e.old, e.new = "ExecStart=", "ExecStart=/bin/true"
	write("new@.service")
	b.shows("It is a template")
	b.shows("new@1.service")
}

// TestAnEditDoesNotUndoAnother that was applied while the editor was open.
func TestAnEditDoesNotUndoAnother(t *testing.T) {
	b := newBench(t, 120, 30, false, false, tuitest.Cluster(3, 3))
	b.host = &typist{desk: b.desk, old: "Restart=always", new: "Restart=no"}
	b.press("2", "e")
	b.client.content = strings.Replace(unitFile, "demo", "other operator", 1)
	b.press("y")
	b.shows("Nothing was applied: root changed web@1.service meanwhile.")
	b.shows("Your text is kept for e on web@1.service")
	if len(b.client.acted) > 0 {
		t.Errorf("it sent %+v", b.client.acted)
	}
}

// TestALongChangeCanBeScrolled on a small screen, and a letter typed there changes nothing.
func TestALongChangeCanBeScrolled(t *testing.T) {
	b := newBench(t, 60, 16, false, false, tuitest.Cluster(3, 3))
	b.client.content = strings.Repeat("# a comment\n", 40)
	b.host = &typist{desk: b.desk, old: "# a comment\n", new: "# another one\n"}
	b.press("2", "e")
	b.shows("lines 1 to ")
	b.hides("of 80; j and k scroll\n+ # another")
	b.press("G")
	b.shows("+ # another one")
	b.shows("to 80 of 80")
	b.press("k", "g")
	b.shows("lines 1 to ")
	b.press("esc")
	b.shows("Nothing was applied.")
}
