package tui

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"fleettop/tui/state"
	"fleettop/units/wording"
)

// failed says what became of the units of machines that died just now; empty for nothing.
func (s *shell) failed(now time.Time, width int) string {
	f, ok := s.snap.Failure(now)
	if !ok {
		return ""
	}
	return longest(width, failureText(f, false), failureText(f, true))
}

// failureText is a failure as a sentence, or as a brief one.
func failureText(f state.Failure, brief bool) string {
	names := strings.Join(f.Machines, " and ")
	if n := len(f.Machines); n > 2 {
		names = wording.Count(n, "machine")
	}
	unit := func(n int) string {
		if brief {
			return fmt.Sprint(n)
		}
		return wording.Count(n, "unit")
	}
	var parts []string
	if f.Moved > 0 {
		moved := unit(f.Moved) + " moved"
		if f.Active < f.Moved {
			moved += fmt.Sprintf(" (%d active)", f.Active)
		}
		parts = append(parts, moved)
	}
	if f.Waiting > 0 {
		parts = append(parts, unit(f.Waiting)+" to move")
	}
	if f.Nowhere > 0 {
		nowhere := fmt.Sprint(f.Nowhere)
		if len(parts) == 0 {
			nowhere = unit(f.Nowhere)
		}
		switch {
		case brief:
			nowhere += " nowhere to go"
		case f.Nowhere == 1:
			nowhere += " has nowhere to go"
		default:
			nowhere += " have nowhere to go"
		}
		parts = append(parts, nowhere)
	}
	if f.Drill {
		names = "drill of " + names + ": "
	} else {
		names += " failed: "
	}
	switch {
	case len(parts) == 0:
		return names + "no unit ran there"
	case f.Moved > 0 && f.Running && brief:
		parts = append(parts, away(f.Worst, 1)+" so far")
	case f.Moved > 0 && f.Running:
		parts = append(parts, "longest outage so far "+away(f.Worst, 1))
	case f.Moved > 0 && brief:
		parts = append(parts, "worst "+away(f.Worst, 2))
	case f.Moved > 0:
		parts = append(parts, "worst outage "+away(f.Worst, 2))
	}
	return names + strings.Join(parts, ", ")
}

// away is an outage in a sentence, with so many digits of a second.
func away(d time.Duration, digits int) string {
	if d >= time.Minute {
		return wording.Age(d)
	}
	return strconv.FormatFloat(d.Seconds(), 'f', digits, 64) + " s"
}
