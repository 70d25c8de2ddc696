package cli

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"fleettop/units/retry"
)

// restartPace is the least time from one start of a daemon that fails to the
// next. systemd before 254 knows no growing delay, and starts it again at once.
const restartPace = 5 * time.Second

// supervised reports whether systemd started this process and starts it again
// when it ends.
func supervised() bool { return os.Getenv("NOTIFY_SOCKET") != "" }

// paceRestart keeps a daemon that failed soon after its start from being
// started again at once, and again: why it failed was said, and seldom passes
// within a moment. It returns at once where systemd doesn't start it again.
func paceRestart(ctx context.Context, args []string, code int, began time.Time) {
	if !supervised() || !slices.Contains(args, "daemon") || code == exitLeft || code == exitBarred {
		return
	}
	if left := restartPace - time.Since(began); left > 0 {
		retry.Pause(ctx, left)
	}
}

// forJournal makes one line of an error for systemd's journal, where each line
// is an entry of its own.
type forJournal struct{ err error }

func (e forJournal) Error() string {
	var b strings.Builder
	for line := range strings.Lines(e.err.Error()) {
		line = strings.TrimSpace(line)
		switch text := b.String(); {
		case line == "":
			continue
		case text == "":
		case strings.HasSuffix(text, ".") || strings.HasSuffix(text, ":") || strings.HasSuffix(text, ";"):
			b.WriteByte(' ')
		default:
			b.WriteString("; ")
		}
		b.WriteString(line)
	}
	return b.String()
}

func (e forJournal) Unwrap() error { return e.err }
