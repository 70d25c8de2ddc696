package cli

import (
	"io"
	"regexp"
	"strings"
	"testing"
)

// verbWord is a verb in a command that a message names.
var verbWord = regexp.MustCompile(`\x60(?:sudo )?fleettop ([a-z-]+)`)

// TestMessagesNameVerbsThatExist: a verb that some message tells people to use is there.
func TestMessagesNameVerbsThatExist(t *testing.T) {
	root := (&app{env: &ownProcess{}, in: strings.NewReader(""), out: io.Discard, err: io.Discard}).root()
	verbs := map[string]bool{}
	for _, cmd := range root.Commands() {
		verbs[cmd.Name()] = true
	}
	eachString(t, func(where, text string) {
		for _, m := range verbWord.FindAllStringSubmatch(text, -1) {
			if !verbs[m[1]] {
				t.Errorf("%s: there is no verb %q: %q", where, m[1], text)
			}
		}
	})
}
