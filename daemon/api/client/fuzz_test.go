package client

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"fleettop/cluster"
	"fleettop/daemon/api"
)

// FuzzWatchClient feeds the client of a watch with anything. It never panics,
// keeps no broken state, and ends with an error.
func FuzzWatchClient(f *testing.F) {
	line := func(l api.Line) string {
		raw, err := json.Marshal(l)
		if err != nil {
			f.Fatal(err)
		}
		return string(raw) + "\n"
	}
	f.Add(line(api.Line{Kind: api.LineSnapshot, Revision: 1}) + "\n" + line(api.Line{Kind: "change", Revision: 2}))
	f.Add(line(api.Line{Kind: "change"}))
	f.Add(`{"kind":"snapshot","units":[{"name":"a.service"},{}],"machines":[null]}` + "\n" + `{"kind":"change","units":[null]}`)
	f.Add("{\n")
	f.Add(`{"error":{"code":"x"}}`)
	f.Add("\n\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		c := &Client{endpoint: "fuzz", base: "http://fleettop", http: &http.Client{Transport: answer(stream)}}
		if err := c.Watch(t.Context(), api.WatchOptions{}, func(*api.State, *api.Line) error { return nil }); err == nil {
			t.Error("a stream that ended is no error")
		}
		if err := c.FollowEvents(t.Context(), "", 1, func(cluster.Event) error { return nil }); err == nil {
			t.Error("events that ended are no error")
		}
	})
}

// answer is a transport that answers every request with the same text.
type answer string

// RoundTrip implements http.RoundTripper.
func (a answer) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{}, ContentLength: -1,
		Body: io.NopCloser(strings.NewReader(string(a)))}, nil
}
