package logs

import (
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/charmbracelet/lipgloss"

	"fleettop/journal"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/theme"
)

// BenchmarkFrameFull draws the screen of a full line buffer, and tells what that holds in memory.
func BenchmarkFrameFull(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := New([]string{"a.service"})
	s.SetSize(120, 40)
	buffer := lineBuffer{called: func(id string) string { return id }}
	for i := 0; i < kept; i += 100 {
		batch := make([]journal.Entry, 100)
		for j := range batch {
			batch[j] = entryAt(i+j, fmt.Sprintf("GET /things/%d 200 in 12 ms, 4711 bytes, from 192.0.2.17", i+j))
		}
		buffer.add(batch)
	}
	s.page = buffer.page
	runtime.GC()
	runtime.ReadMemStats(&after)
	look, err := theme.New(lipgloss.NewRenderer(io.Discard), theme.Options{})
	if err != nil {
		b.Fatal(err)
	}
	bindings, _ := keys.NewMap(nil, false, false)
	env := &screens.Env{Theme: look, Keys: bindings, Snap: &state.Snapshot{}}
	b.ReportAllocs()
	for b.Loop() {
		s.View(env)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB-held")
}
