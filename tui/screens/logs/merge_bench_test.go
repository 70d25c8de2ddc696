package logs

import (
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/charmbracelet/lipgloss"

	"fleettop/journal"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/theme"
	"fleettop/tui/tuitest"
)

// BenchmarkFramesWhileMerging draws frames while 75,000 older lines are merged into 60,000, and tells how long the
// merge takes, and how long it takes at most from one frame's start to its end.
func BenchmarkFramesWhileMerging(b *testing.B) {
	var first, then []journal.Entry
	for i := range 60000 {
		first = append(first, entryAt(75000+i, fmt.Sprintf("GET /things/%d 200 in 12 ms", i)))
	}
	for i := range 75000 {
		then = append(then, entryAt(i, fmt.Sprintf("GET /things/%d 200 in 12 ms", i)))
	}
	look, err := theme.New(lipgloss.NewRenderer(io.Discard), theme.Options{})
	if err != nil {
		b.Fatal(err)
	}
	bindings, _ := keys.NewMap(nil, false, false)
	env := &screens.Env{Theme: look, Keys: bindings, Snap: &state.Snapshot{}, Now: tuitest.Noon}
	var longestFrame, longestMerge time.Duration
	for b.Loop() {
		b.StopTimer()
		s := New([]string{"a.service"})
		s.SetSize(120, 40)
		s.stream = still(first)
		has := func(n int) bool {
			began := time.Now()
			s.gather(env)
			s.View(env)
			longestFrame = max(longestFrame, time.Since(began))
			return len(s.page.all)+s.page.dropped == n
		}
		for !has(60000) {
			<-s.stream.changed
		}
		older := slices.Clone(then)
		b.StartTimer()
		began := time.Now()
		s.stream.pushOlder(older)
		for !has(135000) {
			time.Sleep(time.Millisecond)
		}
		longestMerge = max(longestMerge, time.Since(began))
		b.StopTimer()
		s.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(longestFrame)/1e6, "ms-longest-frame")
	b.ReportMetric(float64(longestMerge)/1e6, "ms-longest-merge")
}
