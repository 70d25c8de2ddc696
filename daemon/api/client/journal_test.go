package client

import (
	"net/http"
	"slices"
	"testing"

	"fleettop/daemon/api"
)

// TestLinesBeforeAnErrorCount: a log that fails in the middle has told all up to there.
func TestLinesBeforeAnErrorCount(t *testing.T) {
	var raw []byte
	for _, l := range []api.LogLine{{Message: "one"}, {Message: "two"}, {Kind: api.LogError, Text: "the disk broke"}} {
		raw = api.AppendLogLine(raw, &l)
	}
	c := &Client{base: "http://fleettop", http: &http.Client{Transport: answer(raw)}}
	var got []string
	err := c.Journal(t.Context(), api.JournalOptions{Unit: "a.service"},
		func(l api.LogLine) error { got = append(got, l.Message); return nil })
	if e, ok := err.(*api.Error); !ok || e.Message != "the disk broke" || !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("read %q, %v", got, err)
	}
}
