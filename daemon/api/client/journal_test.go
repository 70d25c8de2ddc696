package client

import (
	"net/http"
	"slices"
	"testing"

	"fleettop/daemon/api"
	"fleettop/journal"
)

// TestLinesBeforeAnErrorCount: a log that fails in the middle has told all up to there.
func TestLinesBeforeAnErrorCount(t *testing.T) {
	var raw []byte
	for _, l := range []journal.Entry{{Message: "one"}, {Message: "two"}, {Kind: journal.KindError, Text: "the disk broke"}} {
		raw = l.AppendJSON(raw)
	}
	c := &Client{base: "http://fleettop", http: &http.Client{Transport: answer(raw)}}
	var got []string
	err := c.Journal(t.Context(), api.JournalOptions{Unit: "a.service"},
		func(l journal.Entry) error { got = append(got, l.Message); return nil })
	if e, ok := err.(*api.Error); !ok || e.Message != "the disk broke" || !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("read %q, %v", got, err)
	}
}
