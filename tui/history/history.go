// Package history keeps what a person types at the console's prompts for the next session, in
// ~/.local/state/fleettop/history. Several consoles may write it at once.
package history

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"fleettop/units/atomicfile"
	"fleettop/units/filelock"
	"fleettop/units/safefile"
)

const (
	// Most is how many lines are kept of all prompts together.
	Most     = 500
	lineMost = 1000    // bytes of a line; longer ones are not kept
	fileMost = 1 << 20 // bytes that are read
)

// prompts are the prompts whose lines are kept. Searches in a log are not: they can have anything in
// them that a log has.
var prompts = []string{":", "/"}

// Line is what was typed at a prompt.
type Line struct{ Prompt, Text string }

// Path is where the file is: $XDG_STATE_HOME/fleettop/history, or below ~/.local/state.
func Path() (string, error) {
	state := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) { // as the XDG specification has it
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("what is typed at : and / isn't kept for the next session: %w: set HOME, or XDG_STATE_HOME", err)
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "fleettop", "history"), nil
}

// Load returns the lines of a file, the newest last. A file that isn't there has none. Lines that no
// console wrote are left out.
func Load(path string) ([]Line, error) {
	raw, err := safefile.Read(path, fileMost)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, safefile.ErrNotRegular): // such as /dev/null
		return nil, nil
	case err != nil:
		return nil, err
	}
	var list []Line
	for text := range strings.Lines(string(raw)) {
		text = strings.TrimSuffix(text, "\n")
		for _, p := range prompts {
			if rest, ok := strings.CutPrefix(text, p); ok && isKept(rest) {
				list = append(list, Line{p, rest})
			}
		}
	}
	return list[max(0, len(list)-Most):], nil
}

// Add adds a line to a file, which only its owner can read. A line that is there already moves to the
// end; the oldest lines go. What Keeps reports false for is not written, nor is anything where the path
// leads to something that is no regular file. Add may block for two seconds while others write.
func Add(path string, l Line) error {
	if !Keeps(l) {
		return nil
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := filelock.Lock(lock); err != nil {
		return err
	}
	list, err := Load(path)
	if errors.Is(err, safefile.ErrTooLarge) {
		list, err = nil, nil // no console wrote that
	}
	if err != nil {
		return err
	}
	list = append(slices.DeleteFunc(list, func(old Line) bool { return old == l }), l)
	var out bytes.Buffer
	for _, l := range list[max(0, len(list)-Most):] {
		fmt.Fprintf(&out, "%s%s\n", l.Prompt, l.Text)
	}
	return atomicfile.Write(path, out.Bytes(), 0o600)
}

// secret is what a line with a password or a token looks like.
var secret = regexp.MustCompile(`(?i)(pass(wd|word|phrase)?|secret|token|credential|api[-_]?key|authorization|bearer)["']?\s*[:= ]\s*\S|://[^/\s:@]*:[^/\s@]+@`)

// Keeps reports whether a line is kept: one of a prompt that is, which doesn't begin with a space and
// doesn't look as if it had a password or a token in it.
func Keeps(l Line) bool {
	return slices.Contains(prompts, l.Prompt) && isKept(l.Text) && !strings.HasPrefix(l.Text, " ") && !secret.MatchString(l.Text)
}

// isKept reports whether a text can be a line of the file.
func isKept(text string) bool {
	return strings.TrimSpace(text) != "" && len(text) <= lineMost && utf8.ValidString(text) &&
		!strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}
