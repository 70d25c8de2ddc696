package input

import (
	"bytes"
	"strconv"
	"unicode"

	tea "github.com/charmbracelet/bubbletea"
)

// moves are the keys that move, by the last byte of their sequence: plain,
// with shift, with ctrl, with both.
var moves = map[byte][4]tea.KeyType{
	'A': {tea.KeyUp, tea.KeyShiftUp, tea.KeyCtrlUp, tea.KeyCtrlShiftUp},
	'B': {tea.KeyDown, tea.KeyShiftDown, tea.KeyCtrlDown, tea.KeyCtrlShiftDown},
	'C': {tea.KeyRight, tea.KeyShiftRight, tea.KeyCtrlRight, tea.KeyCtrlShiftRight},
	'D': {tea.KeyLeft, tea.KeyShiftLeft, tea.KeyCtrlLeft, tea.KeyCtrlShiftLeft},
	'H': {tea.KeyHome, tea.KeyShiftHome, tea.KeyCtrlHome, tea.KeyCtrlShiftHome},
	'F': {tea.KeyEnd, tea.KeyShiftEnd, tea.KeyCtrlEnd, tea.KeyCtrlShiftEnd},
}

// functions are the function keys, from F1 on.
var functions = [...]tea.KeyType{tea.KeyF1, tea.KeyF2, tea.KeyF3, tea.KeyF4, tea.KeyF5, tea.KeyF6, tea.KeyF7,
	tea.KeyF8, tea.KeyF9, tea.KeyF10,
	tea.KeyF11, tea.KeyF12, tea.KeyF13, tea.KeyF14, tea.KeyF15, tea.KeyF16, tea.KeyF17, tea.KeyF18, tea.KeyF19,
	tea.KeyF20}

// single are the keys of ESC O and a letter.
var single = map[byte]tea.KeyType{'A': tea.KeyUp, 'B': tea.KeyDown, 'C': tea.KeyRight, 'D': tea.KeyLeft,
	'H': tea.KeyHome, 'F': tea.KeyEnd,
	'M': tea.KeyEnter, 'P': tea.KeyF1, 'Q': tea.KeyF2, 'R': tea.KeyF3, 'S': tea.KeyF4}

// numbered are the keys of a number and ~: plain, and with ctrl.
var numbered = map[int][2]tea.KeyType{
	1: {tea.KeyHome, tea.KeyCtrlHome}, 7: {tea.KeyHome, tea.KeyCtrlHome}, 4: {tea.KeyEnd, tea.KeyCtrlEnd},
	8: {tea.KeyEnd, tea.KeyCtrlEnd},
	2: {tea.KeyInsert, tea.KeyInsert}, 3: {tea.KeyDelete, tea.KeyDelete},
	5: {tea.KeyPgUp, tea.KeyCtrlPgUp}, 6: {tea.KeyPgDown, tea.KeyCtrlPgDown},
}

// functionAt are the function keys by the number before their ~.
var functionAt = map[int]int{11: 1, 12: 2, 13: 3, 14: 4, 15: 5, 17: 6, 18: 7, 19: 8, 20: 9, 21: 10, 23: 11, 24: 12,
	25: 13, 26: 14, 28: 15, 29: 16,
	31: 17, 32: 18, 33: 19, 34: 20}

// keyOf is the key of a control sequence. A final R is none: it is where a
// terminal says that its cursor is.
func keyOf(final byte, params []byte) (tea.KeyMsg, bool) {
	list := numbers(params)
	held := 0 // shift 1, alt 2, ctrl 4
	if len(list) == 2 && list[1] > 0 {
		held = list[1] - 1
	}
	alt, level := held&2 != 0, held&1|held&4>>1
	switch {
	case len(params) > 0 && list == nil || len(list) > 2 && (final != '~' || list[0] != 27):
	case final >= 'a' && final <= 'd' && len(list) == 0: // rxvt
		return tea.KeyMsg{Type: moves[final-0x20][1]}, true
	case final == 'Z' && len(list) == 0:
		return tea.KeyMsg{Type: tea.KeyShiftTab}, true
	case final == 'P' || final == 'Q' || final == 'S':
		if len(list) == 2 && list[0] == 1 {
			n := int(final - 'P')
			if held&1 != 0 {
				n += 12
			}
			return tea.KeyMsg{Type: functions[n], Alt: alt}, true
		}
	case final == 'u':
		return extended(list, held)
	case final == '~' && len(list) == 3 && list[0] == 27: // the same, in the older form
		return extended(list[2:], max(0, list[1]-1))
	case final == '~' || final == '^' || final == '$' || final == '@': // the last three are rxvt's
		if len(list) == 0 {
			break
		}
		if final == '^' || final == '@' {
			level |= 2
		}
		if k, ok := numbered[list[0]]; ok {
			return tea.KeyMsg{Type: k[level>>1&1], Alt: alt}, true
		}
		if n := functionAt[list[0]]; n > 0 {
			if held&1 != 0 && n+12 <= len(functions) {
				n += 12
			}
			return tea.KeyMsg{Type: functions[n-1], Alt: alt}, true
		}
	default:
		if k, ok := moves[final]; ok && (len(list) == 0 || list[0] <= 1) {
			return tea.KeyMsg{Type: k[level&3], Alt: alt}, true
		}
	}
	return tea.KeyMsg{}, false
}

// extended is a key by its character and what is held, as terminals send it
// that another program left in a mode for that.
func extended(list []int, held int) (tea.KeyMsg, bool) {
	if len(list) == 0 {
		return tea.KeyMsg{}, false
	}
	c := list[0]
	alt := held&2 != 0
	switch {
	case c == '\t' && held&1 != 0:
		return tea.KeyMsg{Type: tea.KeyShiftTab, Alt: alt}, true
	case c == 27 || c == '\r' || c == '\t' || c == 127:
		return tea.KeyMsg{Type: tea.KeyType(c), Alt: alt}, true
	case held&4 != 0 && c >= '@' && c <= '~':
		return tea.KeyMsg{Type: tea.KeyType(c & 0x1f), Alt: alt}, true
	case held&4 != 0 || c < ' ' || c >= 57344 && c <= 63743: // keys without a character
		return tea.KeyMsg{}, false
	case c == ' ':
		return tea.KeyMsg{Type: tea.KeySpace, Runes: []rune{' '}, Alt: alt}, true
	}
	r := rune(c)
	if held&1 != 0 {
		r = unicode.ToUpper(r)
	}
	return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}, Alt: alt}, true
}

// numbers are the parameters of a sequence; nil if one isn't a number.
func numbers(params []byte) []int {
	if len(params) == 0 {
		return nil
	}
	var list []int
	for _, part := range bytes.Split(params, []byte{';'}) {
		n, err := strconv.Atoi(string(part))
		if err != nil || n < 0 || n > 1<<16 {
			return nil
		}
		list = append(list, n)
	}
	return list
}

// mouse is a mouse event of a button's code, as terminals send it.
func mouse(code, x, y int, pressed bool) tea.Msg {
	m := tea.MouseMsg{X: x, Y: y, Shift: code&4 != 0, Alt: code&8 != 0, Ctrl: code&16 != 0,
		Action: tea.MouseActionPress}
	switch {
	case code&32 != 0:
		m.Action = tea.MouseActionMotion
	case !pressed || code&64 == 0 && code&3 == 3:
		m.Action = tea.MouseActionRelease
	}
	switch code &^ (4 | 8 | 16 | 32) {
	case 0:
		m.Button = tea.MouseButtonLeft
	case 1:
		m.Button = tea.MouseButtonMiddle
	case 2:
		m.Button = tea.MouseButtonRight
	case 64:
		m.Button = tea.MouseButtonWheelUp
	case 65:
		m.Button = tea.MouseButtonWheelDown
	}
	return m
}
