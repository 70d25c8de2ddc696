package tui

import (
	"context"
	"encoding/base64"
	"os/exec"
	"strings"
	"time"
)

const (
	tmuxPatience = 2 * time.Second
	screenMost   = 500 // bytes that screen passes through at once
)

// clipboard is the way to the clipboard of the person at the terminal: OSC 52,
// through what is between the console and the terminal. No terminal says
// whether it took it; tmux does.
type clipboard struct {
	tmux   bool // its server can be reached from here
	within string
}

func clipboardOf(o *Options) clipboard {
	name := o.Env("TERM")
	switch {
	case o.Env("TMUX") != "":
		return clipboard{tmux: o.Sizes == nil, within: "tmux"}
	case o.Env("STY") != "", name == "screen", strings.HasPrefix(name, "screen."), strings.HasPrefix(name, "screen-"):
		return clipboard{within: "screen"}
	case name == "tmux", strings.HasPrefix(name, "tmux-"):
		return clipboard{within: "tmux"}
	}
	return clipboard{}
}

// sequence is what puts a text on the clipboard, if all that is between lets it through.
func (c clipboard) sequence(text string) string {
	plain := "\x1b]52;c;" + base64.StdEncoding.EncodeToString([]byte(text)) + "\a"
	switch c.within {
	case "tmux":
		return plain + "\x1bPtmux;" + strings.ReplaceAll(plain, "\x1b", "\x1b\x1b") + "\x1b\\"
	case "screen":
		var b strings.Builder
		b.WriteString(plain) // for tmux, which may call itself screen
		for rest := plain; rest != ""; {
			n := min(len(rest), screenMost)
			b.WriteString("\x1bP" + rest[:n] + "\x1b\\")
			rest = rest[n:]
		}
		return b.String()
	}
	return plain
}

// intoTmux puts a text into tmux's buffer, and with that on the clipboard of
// its terminal; it reports whether tmux took it.
func intoTmux(text string) bool {
	for _, args := range [][]string{{"load-buffer", "-w", "-"}, {"load-buffer", "-"}} { // the first from tmux 3.2 on
		ctx, cancel := context.WithTimeout(context.Background(), tmuxPatience)
		cmd := exec.CommandContext(ctx, "tmux", args...)
		cmd.Stdin = strings.NewReader(text)
		err := cmd.Run()
		cancel()
		if err == nil {
			return true
		}
	}
	return false
}

// Copy implements host. It may take a moment.
func (p *program) Copy(text string) (taken string) {
	if p.clipboard.tmux && intoTmux(text) {
		return "tmux's buffer"
	}
	p.term.Emit(p.clipboard.sequence(text))
	return ""
}
