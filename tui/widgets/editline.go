package widgets

import (
	"slices"
	"unicode"

	tea "github.com/charmbracelet/bubbletea"
)

// editLine is a line of text and a cursor in it.
type editLine struct {
	text []rune
	at   int
}

func (e *editLine) set(s string) {
	e.text = []rune(s)
	e.at = len(e.text)
}

// key takes a key, with the usual ones of a shell's line.
func (e *editLine) key(msg tea.KeyMsg) {
	switch msg.String() {
	case "left", "ctrl+b":
		e.at = max(0, e.at-1)
	case "right", "ctrl+f":
		e.at = min(len(e.text), e.at+1)
	case "home", "ctrl+a":
		e.at = 0
	case "end", "ctrl+e":
		e.at = len(e.text)
	case "alt+left", "ctrl+left", "alt+b":
		e.at = e.word()
	case "backspace", "ctrl+h":
		e.cut(max(0, e.at-1), e.at)
	case "delete", "ctrl+d":
		e.cut(e.at, min(len(e.text), e.at+1))
	case "ctrl+w", "alt+backspace":
		e.cut(e.word(), e.at)
	case "ctrl+u":
		e.cut(0, e.at)
	case "ctrl+k":
		e.cut(e.at, len(e.text))
	default:
		if msg.Type == tea.KeyRunes || msg.Type == tea.KeySpace {
			e.insert(msg.Runes)
		}
	}
}

// insert puts in what was typed or pasted, on one line.
func (e *editLine) insert(runes []rune) {
	clean := make([]rune, len(runes))
	for i, r := range runes {
		if clean[i] = r; unicode.IsControl(r) {
			clean[i] = ' '
		}
	}
	e.text = slices.Insert(e.text, e.at, clean...)
	e.at += len(clean)
}

func (e *editLine) cut(from, to int) {
	e.text = append(e.text[:from], e.text[to:]...)
	e.at = from
}

// word is where the word before the cursor begins.
func (e *editLine) word() int {
	at := e.at
	for at > 0 && e.text[at-1] == ' ' {
		at--
	}
	for at > 0 && e.text[at-1] != ' ' {
		at--
	}
	return at
}
