package api

import (
	"net/http"
	"slices"
	"testing"
)

// TestLinesBeforeAnErrorCount: a log that fails in the middle has told all up to there.
func TestLinesBeforeAnErrorCount(t *testing.T) {
	var raw []byte
	for _, l := range []LogLine{{Message: "one"}, {Message: "two"}, {Kind: logError, Text: "the disk broke"}} {
		raw = appendLogLine(raw, &l)
	}
	c := &Client{base: "http://fleettop", http: &http.Client{Transport: answer(raw)}}
	var got []string
	err := c.Journal(t.Context(), JournalOptions{Unit: "a.service"}, func(l LogLine) error { got = append(got, l.Message); return nil })
	if e, ok := err.(*Error); !ok || e.Message != "the disk broke" || !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("read %q, %v", got, err)
	}
}
