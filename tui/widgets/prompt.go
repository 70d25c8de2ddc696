package widgets

import (
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/tui/draw"
	"fleettop/tui/theme"
)

// Prompt is a line that is being typed, with completion.
type Prompt struct {
	Label    string
	Complete func(text string) []string // whole lines that text may become; nil for none
	line     editLine
	choices  []string
	chosen   int
	history  []string
	back     int
	replace  bool // the first letter takes the place of the text
}

// NewPrompt returns a prompt with some text in it.
func NewPrompt(label, text string) *Prompt {
	p := &Prompt{Label: label, chosen: -1}
	p.Set(text)
	return p
}

// WithHistory gives the prompt lines typed before, the newest last.
func (p *Prompt) WithHistory(lines []string) *Prompt {
	p.history, p.back = lines, len(lines)
	return p
}

// Replace makes the first letter that is typed take the place of the text; any
// other key keeps it, to be changed.
func (p *Prompt) Replace() *Prompt {
	p.replace = p.Value() != ""
	return p
}

// Set replaces the text.
func (p *Prompt) Set(text string) { p.line.set(text) }

// Value is the text.
func (p *Prompt) Value() string { return string(p.line.text) }

// Update takes a key that is neither enter nor esc.
func (p *Prompt) Update(msg tea.KeyMsg) {
	if p.replace && (msg.Type == tea.KeyRunes && !msg.Alt || msg.Type == tea.KeySpace || msg.Type == tea.KeyBackspace) {
		p.Set("")
	}
	p.replace = false
	switch msg.String() {
	case "tab", "shift+tab":
		p.cycle(msg.String() == "tab")
		return
	case "up", "ctrl+p":
		p.recall(-1)
		return
	case "down", "ctrl+n":
		p.recall(1)
		return
	}
	p.choices, p.chosen = nil, -1
	p.line.key(msg)
}

func (p *Prompt) recall(by int) {
	if at := p.back + by; at >= 0 && at < len(p.history) {
		p.back = at
		p.Set(p.history[at])
	} else if at == len(p.history) {
		p.back = at
		p.Set("")
	}
}

// cycle completes the text: as far as the choices agree first, then each of them.
func (p *Prompt) cycle(forward bool) {
	if p.Complete == nil {
		return
	}
	if p.choices == nil {
		p.choices = p.Complete(p.Value())
		if len(p.choices) == 0 {
			p.choices = nil
			return
		}
		if common := commonStart(p.choices); len(common) > len(p.Value()) {
			p.Set(common)
			if len(p.choices) > 1 {
				p.choices = nil
			}
			return
		}
	}
	step := 1
	if !forward {
		step = len(p.choices) - 1
		p.chosen = max(p.chosen, 0)
	}
	p.chosen = (p.chosen + step) % len(p.choices)
	p.Set(p.choices[p.chosen])
}

func commonStart(list []string) string {
	start := list[0]
	for _, s := range list[1:] {
		for !strings.HasPrefix(s, start) {
			start = start[:len(start)-1]
		}
	}
	return start
}

// Choices are the lines the text may become, for showing them: those being
// cycled through, or those there are now.
func (p *Prompt) Choices() (list []string, chosen int) {
	if p.choices != nil {
		return p.choices, p.chosen
	}
	if p.Complete == nil {
		return nil, -1
	}
	return slices.DeleteFunc(p.Complete(p.Value()), func(s string) bool { return s == p.Value() }), -1
}

// Draw writes the prompt with its cursor.
func (p *Prompt) Draw(b *draw.Buf, t *theme.Theme) {
	b.Text(p.Label, t.Key)
	runes, at := p.line.text, p.line.at
	// A long text shows the part before the cursor.
	from := at
	for room := b.Left() - 1; from > 0; from-- {
		if room -= draw.Width(draw.Clean(string(runes[from-1]))); room < 0 {
			break
		}
	}
	ink := t.Text
	if p.replace {
		ink = t.Match
	}
	b.Text(draw.Clean(string(runes[from:at])), ink)
	under := " "
	if at < len(runes) {
		under = string(runes[at])
	} else if t.Tab == (draw.Ink{}) {
		under = "_"
	}
	b.Text(draw.Clean(under), t.Tab)
	if at < len(runes) {
		b.Text(draw.Clean(string(runes[at+1:min(len(runes), at+1+b.Left())])), t.Text)
	}
}
