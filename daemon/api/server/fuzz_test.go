package server

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"fleettop/cluster/memstore"
	"fleettop/daemon/api"
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
	s := New(Config{Store: store, View: view.New(store, log, 0), Log: log})
	f.Fuzz(func(t *testing.T, path, body string) {
		if path != "/v1/units" {
			path = "/v1/actions"
		}
		var req api.ActionRequest
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
		s.ServeHTTP(w, r.WithContext(WithRole(t.Context(), api.Viewer)))
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
	s := New(Config{Store: store, Log: log})
	for _, methods := range s.endpoints {
		for method, e := range methods {
			access := map[access]string{permWrite: "act", permRead: "look"}[e.access]
			e.serve = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Access", access)
				w.WriteHeader(http.StatusTeapot)
			}
			methods[method] = e
		}
	}
	return s, store, log
}
