package tui

import (
	"maps"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"pgregory.net/rapid"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/tui/keys"
	"fleettop/tui/tuitest"
)

// TestAnyKeys presses any keys on any screen while machines fail and units come
// and go: every frame fits, and what stops something was asked about before.
func TestAnyKeys(t *testing.T) {
	names := []string{"enter", "esc", "tab", "down", "up", "left", "right", "backspace", "ctrl+d", "ctrl+u",
		"space", "y", "é", "数"}
	for _, b := range keys.Table() {
		for _, k := range b.Keys {
			if k != "q" && k != "ctrl+c" && k != "ctrl+z" && k != "e" && k != "n" && k != "S" {
				names = append(names, k)
			}
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		w, h := rapid.IntRange(1, 130).Draw(rt, "width"), rapid.IntRange(1, 45).Draw(rt, "height")
		b := newBench(t, w, h, rapid.Bool().Draw(rt, "colour"), false, tuitest.Cluster(4, 12))
		defer b.closeAll()
		for n := range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				b.feed(rapid.SampledFrom([]*api.Line{tuitest.Failed(rapid.IntRange(1, 4).Draw(rt, "machine"),
					time.Second),
					tuitest.Moved("web@3.service", 3, 1, int64(20+n), time.Second), tuitest.Cluster(2, 3),
					tuitest.Cluster(0, 0),
					{Kind: api.LineChange, Gone: &api.Gone{Units: []string{"web@1.service"},
						Machines: []string{tuitest.MachineID(2)}}},
					{Kind: api.LineChange, Statuses: []cluster.Status{tuitest.Runs("web@2.service", 2, 10, "failed",
						"failed")}}}).Draw(rt, "line"))
			case 1:
				b.Update(tea.WindowSizeMsg{Width: rapid.IntRange(0, 130).Draw(rt, "w"), Height: rapid.IntRange(0,
					45).Draw(rt, "h")})
			default:
				key, was, confirming := rapid.SampledFrom(names).Draw(rt, "key"), maps.Clone(b.pending),
					b.confirm != nil
				b.Update(keyCalled(key))
				for name, p := range b.pending {
					if v := p.verb; p != was[name] && v != api.Start && v != api.Load && !confirming {
						rt.Fatalf("%s does %s to %s without a question", key, v, name)
					}
				}
			}
			lines := strings.Split(b.View(), "\n")
			if b.width >= leastWidth && b.height >= leastHeight && len(lines) != b.height {
				rt.Fatalf("%d lines on a screen of %dx%d", len(lines), b.width, b.height)
			}
			for _, l := range lines {
				if got := ansi.StringWidth(l); got > max(1, b.width) {
					rt.Fatalf("a line of %d columns on a screen of %dx%d: %q", got, b.width, b.height, ansi.Strip(l))
				}
			}
		}
	})
}

// feed is line, without the commands that follow.
func (b *bench) feed(l *api.Line) {
	b.reducer.Apply(l, b.clock)
	b.Update(snapshotMsg{b.reducer.Snapshot(b.clock)})
}

// keyCalled is the key with a name of the table.
func keyCalled(name string) tea.KeyMsg {
	for k := tea.KeyF20; k <= tea.KeyType(127); k++ {
		if k.String() == name && k != tea.KeyRunes {
			return tea.KeyMsg{Type: k}
		}
	}
	if name == "space" {
		return tea.KeyMsg{Type: tea.KeySpace, Runes: []rune{' '}}
	}
	return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(name)}
}
