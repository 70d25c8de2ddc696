package tui

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/journal"
	"fleettop/tui/tuitest"
)

// pastLog is a log of web@3.service, a line every ten seconds over forty minutes, with errors and warnings in it.
func pastLog() []journal.Entry {
	var log []journal.Entry
	for i := range 240 {
		e := journal.Entry{Time: tuitest.Noon.Add(time.Duration(i-240) * 10 * time.Second), Unit: "web@3.service",
			Machine: tuitest.MachineID(3), Priority: 6, Message: fmt.Sprintf("GET /things/%d 200", i),
			Cursor: journal.Cursor(fmt.Sprint("c", i))}
		switch {
		case i > 100 && i < 112:
			e.Priority, e.Message = 3, "connection to the database was lost"
		case i%40 == 0:
			e.Priority, e.Message = 4, "slow: 900 ms"
		}
		log = append(log, e)
		if i > 150 && i < 180 { // busier
			log = append(log, e, e, e)
		}
	}
	return log
}

// TestErrorsOfATemplate counts what it takes from the overview to the errors of web@* in the last hour.
func TestErrorsOfATemplate(t *testing.T) {
	b := newBench(t, 120, 30, false, false, tuitest.Cluster(3, 8))
	b.client.log = pastLog()
	strokes := []string{"2", "~", "w", "@", "enter", "E"}
	b.press(strokes...)
	b.await("connection to the database was lost")
	if len(strokes) > 6 {
		t.Errorf("%d keystrokes", len(strokes))
	}
	b.client.mu.Lock()
	asked := b.client.asked
	b.client.mu.Unlock()
	want := []string{"web@1.service", "web@2.service", "web@3.service", "web@4.service", "web@5.service", "web@6.service",
		"web@7.service", "web@8.service"}
	units := slices.Sorted(slices.Values(asked.Units))
	if !slices.Equal(units, want) || !asked.Errors || asked.Since != tuitest.Noon.Add(-time.Hour).Format(time.RFC3339Nano) {
		t.Errorf("it asks for %+v", asked)
	}
	b.press("esc")
	b.shows("8 units") // back, with the filter
	b.press("space", "space", "E")
	b.await("since 11:00:00 · 11 errors")
	if b.client.mu.Lock(); len(b.client.asked.Units) != 2 {
		t.Errorf("with marks it asks for %q", b.client.asked.Units)
	}
	b.client.mu.Unlock()
	b.press("esc", "esc", "esc", "enter", "E")
	b.await("since 11:00:00 · 11 errors")
	if b.client.mu.Lock(); len(b.client.asked.Units) != 1 {
		t.Errorf("of one unit it asks for %q", b.client.asked.Units)
	}
	b.client.mu.Unlock()
}

// TestTimeCommands: the command line offers times, bounds the log, and says what it can't do.
func TestTimeCommands(t *testing.T) {
	b := newBench(t, 100, 24, false, false, tuitest.Cluster(3, 3))
	b.client.log = pastLog()
	b.press(":", "'since -15m", "enter")
	b.shows("since works on a log: press l on a unit first.")
	b.press("2", "l")
	b.await("GET /things/239")
	b.press(":", "'until ")
	b.shows("yesterday")
	b.press("'11:50", "enter")
	b.await("until 11:50:00")
	b.press(":", "'since 11:45", "enter")
	b.await("11:45:00 to 11:50:00 · 118 lines")
	b.press(":", "'goto", "enter")
	b.shows("Name a time: :goto 10:31:07")
	b.press(":", "'goto 11:47:00", "enter")
	b.await("▌11:47:00")
	b.press(":", "'since now or so", "enter")
	b.shows(`"now or so" is no time`)
	b.press("esc")
	b.await("following")
	b.press("h")
	b.hides("▁")
	b.press("h")
	b.await("█")
}

// TestGoldenLogPast draws a log with bounds, at its end and where a time was gone to.
func TestGoldenLogPast(t *testing.T) {
	for name, c := range map[string]struct{ keys, sees string }{
		"errors": {"E", "11 errors"}, "between": {":since 11:30|:until 11:45", "GET /things/150"},
		"goto": {":goto 11:38:20", "▌11:38:20"},
	} {
		for _, size := range [][2]int{{40, 12}, {80, 24}, {120, 40}} {
			file := fmt.Sprintf("logs-%s-%dx%d", name, size[0], size[1])
			t.Run(file, func(t *testing.T) {
				b := newBench(t, size[0], size[1], true, false, calm()...)
				b.client.log = pastLog()
				b.press("2", "/", "'@3", "enter", "l")
				b.await("GET /things/239")
				for _, word := range strings.Split(c.keys, "|") {
					if text, ok := strings.CutPrefix(word, ":"); ok {
						b.press(":", "'"+text, "enter")
					} else {
						b.press(word)
					}
				}
				b.await(c.sees)
				golden(t, file, b.View())
			})
		}
	}
}
