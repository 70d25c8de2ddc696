// Package tui is the console: a shell around the screens, fed by a daemon's
// watch. Run shows it on a terminal; the shell itself is a Bubble Tea model
// that only knows messages and lines of text.
//
//	feed -> state (snapshots) -> shell -> screens -> lines -> terminal
package tui
