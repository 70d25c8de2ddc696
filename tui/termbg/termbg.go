// Package termbg settles the terminal's background before anybody asks for it.
//
// Bubble Tea asks the terminal for its background colour in an init function,
// so that a daemon or a verb that merely links it writes escape codes to its
// output and may wait for seconds on a terminal that doesn't answer. Packages
// are initialized in the order of their import paths, and this one's comes
// before any that begins with github.com: what asks later gets this answer.
package termbg

import "github.com/charmbracelet/lipgloss"

func init() { lipgloss.SetHasDarkBackground(true) }
