package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"fleettop/tui/draw"
)

// Colours, as numbers of ANSI's SGR.
const (
	plain  = ""
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
	bold   = "1"
)

// isTerminal tells whether a person is at the other end of a reader or writer.
func isTerminal(stream any) bool {
	if o, ok := stream.(*output); ok {
		stream = o.w
	}
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (a *app) coloured(w io.Writer) bool {
	return !a.noColor && os.Getenv("TERM") != "dumb" && isTerminal(w)
}

func paint(on bool, colour, text string) string {
	if !on || colour == plain || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// stateColour is the colour of an active state, load state or health state.
func stateColour(state string) string {
	switch state {
	case "active", "up", "running", "launched":
		return green
	case "failed", "error", "bad-setting", "not-found", "down":
		return red
	case "unknown", "unplaced", "activating", "deactivating", "reloading", "suspect", "daemon-gone", "auto-restart", "cordoned", "drained", "masked":
		return yellow
	case "inactive", "dead", "-":
		return dim
	}
	return plain
}

// cell is a text and its colour.
type cell struct{ text, colour string }

// writeTable writes rows with columns aligned by display width, the last one
// not padded. What the cells say is from elsewhere and doesn't steer the terminal.
func writeTable(w io.Writer, colour bool, rows [][]cell) error {
	var widths []int
	for _, row := range rows {
		for i := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			row[i].text = draw.Clean(row[i].text)
			widths[i] = max(widths[i], draw.Width(row[i].text))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, c := range row {
			b.WriteString(paint(colour, c.colour, c.text))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-draw.Width(c.text)+2))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// age is a duration for people: 850ms, 12s, 3min, 4h 10min, 2d 3h.
func age(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dmin", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh %dmin", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd %dh", int(d.Hours())/24, int(d.Hours())%24)
}
