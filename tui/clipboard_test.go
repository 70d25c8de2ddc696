package tui

import (
	"encoding/base64"
	"strings"
	"testing"
)

func TestTheClipboardIsReachedThroughTmuxAndScreen(t *testing.T) {
	text := strings.Repeat("a line of a log ", 100)
	plain := "\x1b]52;c;" + base64.StdEncoding.EncodeToString([]byte(text)) + "\a"
	for _, c := range []struct {
		env     map[string]string
		remote  bool
		through string // what is between: tmux or screen
		asks    bool   // tmux itself is asked
	}{
		{map[string]string{"TERM": "xterm-256color"}, false, "", false},
		{map[string]string{"TERM": "screen", "STY": "123.pts-0.n1"}, false, "screen", false},
		{map[string]string{"TERM": "screen.xterm-256color"}, true, "screen", false},
		{map[string]string{"TERM": "tmux-256color", "TMUX": "/tmp/tmux-0/default,1,0"}, false, "tmux", true},
		{map[string]string{"TERM": "screen-256color", "TMUX": "/tmp/tmux-0/default,1,0"}, false, "tmux", true},
		{map[string]string{"TERM": "tmux-256color"}, true, "tmux", false},
	} {
		o := &Options{Env: func(name string) string { return c.env[name] }}
		if c.remote {
			o.Sizes = make(chan Size)
		}
		clip := clipboardOf(o)
		if clip.tmux != c.asks {
			t.Errorf("%v: tmux is asked: %v, want %v", c.env, clip.tmux, c.asks)
		}
		got := clip.sequence(text)
		if !strings.HasPrefix(got, plain) {
			t.Errorf("%v: it doesn't begin with the plain sequence", c.env)
		}
		rest := got[len(plain):]
		passed := ""
		switch c.through {
		case "tmux": // takes away its own frame, and every second escape character
			rest = strings.TrimSuffix(strings.TrimPrefix(rest, "\x1bPtmux;"), "\x1b\\")
			passed = strings.ReplaceAll(rest, "\x1b\x1b", "\x1b")
		case "screen":
			for _, part := range strings.Split(strings.TrimSuffix(rest, "\x1b\\"), "\x1b\\") {
				part = strings.TrimPrefix(part, "\x1bP")
				if len(part) > screenMost {
					t.Errorf("screen would cut %d bytes", len(part))
				}
				passed += part
			}
		default:
			passed = plain
		}
		if passed != plain {
			t.Errorf("%v: the terminal gets %q", c.env, passed[:min(60, len(passed))])
		}
	}
}
