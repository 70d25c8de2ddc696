package api

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
	"fleettop/daemon/view"
)

// FuzzBodies sends anything to the endpoints that take a body. Whatever comes,
// the server answers, in JSON, and blames the client.
func FuzzBodies(f *testing.F) {
	for _, seed := range []string{
		`{"verb":"start","units":["a.service"]}`,
		`{"verb":"submit","files":[{"name":"a@.service","content":"[Service]\nExecStart=/bin/true\n"}]}`,
		`{"units":[{"name":"../a.service","content":""}],"desired":"launched"}`,
		`{"verb":"start","files":[{"name":"a.service","content":"[X-Fleet]\nReplaces=a.service\n"}]} {}`,
		`{"verb":"destroy","units":["` + strings.Repeat("a", 300) + `.service","\u0000"]}`,
		`[]`, `null`, `{`, ``,
	} {
		f.Add("/v1/actions", seed)
		f.Add("/v1/units", seed)
	}
	store := memstore.New().Open()
	f.Cleanup(func() { store.Close() })
	log := slog.New(slog.DiscardHandler)
	s := NewServer(Config{Store: store, View: view.New(store, log, 0), Log: log})
	f.Fuzz(func(t *testing.T, path, body string) {
		if path != "/v1/units" {
			path = "/v1/actions"
		}
		var req ActionRequest
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if e := readJSON(w, r, &req); e != nil {
			if statusOf[e.Code] < 400 || statusOf[e.Code] >= 500 {
				t.Errorf("%q: %v", body, e)
			}
			return
		}
		a, e := s.newAction(req, "ada")
		if e != nil {
			return
		}
		for _, it := range a.items {
			name := it.name.String()
			if it.result.Error == nil && (filepath.Base(name) != name || !filepath.IsLocal(name) || strings.ContainsAny(name, "\x00\n ") || len(name) > 255) {
				t.Errorf("%q is taken for a name", name)
			}
		}
	})
}

// FuzzPaths asks for anything, in any role but the operator's.
func FuzzPaths(f *testing.F) {
	for _, seed := range []string{"/v1/units/a.service", "/v1/units/..%2f..%2fetc%2fpasswd", "/v1/machines/x/../../leave", "//v1/leave", "/v1/keys/rotate/", "/v1/./leave", "/v1/LEAVE", "/metrics?x=%zz"} {
		f.Add("POST", seed)
		f.Add("DELETE", seed)
	}
	s, _, _ := fuzzServer(f)
	f.Fuzz(func(t *testing.T, method, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || method == "" || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			return
		}
		r := &http.Request{Method: method, URL: u, Host: "x", Header: http.Header{}, Body: http.NoBody, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r.WithContext(WithRole(t.Context(), Viewer)))
		if w.Code == http.StatusTeapot && w.Header().Get("Access") == "act" {
			t.Errorf("a viewer got through with %s %q", method, path)
		}
	})
}

func fuzzServer(f *testing.F) (*Server, *memstore.Store, *slog.Logger) {
	f.Helper()
	store := memstore.New().Open()
	f.Cleanup(func() { store.Close() })
	log := slog.New(slog.DiscardHandler)
	s := NewServer(Config{Store: store, Log: log})
	for _, methods := range s.endpoints {
		for method, e := range methods {
			access := map[access]string{toAct: "act", toLook: "look"}[e.access]
			e.serve = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Access", access)
				w.WriteHeader(http.StatusTeapot)
			}
			methods[method] = e
		}
	}
	return s, store, log
}

// FuzzWatchClient feeds the client of a watch with anything. It never panics,
// keeps no broken state, and ends with an error.
func FuzzWatchClient(f *testing.F) {
	line := func(l Line) string {
		raw, err := json.Marshal(l)
		if err != nil {
			f.Fatal(err)
		}
		return string(raw) + "\n"
	}
	f.Add(line(Line{Kind: LineSnapshot, Revision: 1}) + "\n" + line(Line{Kind: "change", Revision: 2}))
	f.Add(line(Line{Kind: "change"}))
	f.Add(`{"kind":"snapshot","units":[{"name":"a.service"},{}],"machines":[null]}` + "\n" + `{"kind":"change","units":[null]}`)
	f.Add("{\n")
	f.Add(`{"error":{"code":"x"}}`)
	f.Add("\n\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		c := &Client{endpoint: "fuzz", base: "http://fleettop", http: &http.Client{Transport: answer(stream)}}
		if err := c.Watch(t.Context(), WatchOptions{}, func(*State, *Line) error { return nil }); err == nil {
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
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(strings.NewReader(string(a)))}, nil
}
