package widgets

import (
	"regexp"
	"time"

	"fleettop/cluster"
	"fleettop/tui/state"
)

// silence is the part of a machine's evidence that grows older while it is shown.
var silence = regexp.MustCompile(`no answer for \d+\.\d s`)

// Evidence is what a machine's state rests on. How long a suspect has been
// silent is counted on.
func Evidence(m *state.Machine, now time.Time) string {
	text := m.Health.Evidence
	if m.Health.State != cluster.Suspect || m.Health.SilentSince.IsZero() {
		return text
	}
	silent := "no answer for " + Watch(now.Sub(m.Health.SilentSince))
	if text == "" {
		return silent
	}
	return silence.ReplaceAllLiteralString(text, silent)
}
