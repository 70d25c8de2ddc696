package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
	"fleettop/daemon/api"
)

// who may use each endpoint: l for all roles, a for operators, m for machines, o for both of these,
// * for anybody. An endpoint that isn't here fails the test: say who may use it.
var whoMay = map[string]string{
	"GET /v1/watch":                     "l",
	"GET /v1/state":                     "l",
	"GET /v1/units":                     "l",
	"POST /v1/units":                    "a",
	"GET /v1/units/{name}":              "l",
	"GET /v1/units/{name}/explain":      "l",
	"GET /v1/units/{name}/journal":      "l",
	"GET /v1/journal":                   "l",
	"POST /v1/actions":                  "a",
	"GET /v1/machines":                  "l",
	"DELETE /v1/machines/{id}":          "a",
	"POST /v1/machines/{id}/{verb}":     "a",
	"GET /v1/machines/{id}/host/{unit}": "o",
	"POST /v1/machines":                 "a",
	"GET /v1/machines/{id}/drill":       "a",
	"POST /v1/machines/{id}/drill":      "a",
	"GET /v1/drain":                     "a",
	"GET /v1/rebalance":                 "a",
	"POST /v1/rebalance":                "a",
	"POST /v1/leave":                    "a",
	"GET /v1/events":                    "l",
	"GET /v1/stats":                     "l",
	"GET /v1/stats/history":             "l",
	"GET /v1/units/{name}/processes":    "l",
	"GET /v1/connectivity":              "l",
	"GET /v1/keys":                      "l",
	"POST /v1/keys/rotate":              "a",
	"POST /v1/keys/finish":              "a",
	"POST /v1/join-token":               "a",
	"POST /v1/notify/test":              "a",
	"GET /v1/backup":                    "a",
	"POST /v1/restore":                  "a",
	"GET /v1/version":                   "l",
	"GET /healthz":                      "l",
	"GET /metrics":                      "l",
	"GET /fleet/v1/discovery":           "l",
	"GET /fleet/v1/units":               "l",
	"GET /fleet/v1/units/{name}":        "l",
	"PUT /fleet/v1/units/{name}":        "a",
	"DELETE /fleet/v1/units/{name}":     "a",
	"GET /fleet/v1/state":               "l",
	"GET /fleet/v1/state/{name}":        "l",
	"GET /fleet/v1/machines":            "l",
	"PATCH /fleet/v1/machines":          "a",
	" /fleet/":                          "*",
	" /v1-alpha/":                       "*",
	" /":                                "*",
}

func roleServer(t *testing.T) (*Server, *memstore.Store, *bytes.Buffer) {
	t.Helper()
	store := memstore.New().Open()
	t.Cleanup(func() { store.Close() })
	var log bytes.Buffer
	s := New(Config{Store: store, Self: "m1", Log: slog.New(slog.NewTextHandler(&log, nil))})
	for _, methods := range s.endpoints {
		for method, e := range methods {
			e.serve = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }
			methods[method] = e
		}
	}
	return s, store, &log
}

// ask returns the status that a role gets.
func ask(s *Server, role api.Role, method, path string) int {
	r := httptest.NewRequest(method, path, nil)
	ctx := WithActor(r.Context(), "ada")
	if role != "" {
		ctx = WithRole(ctx, role)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r.WithContext(ctx))
	return w.Code
}

func TestRoles(t *testing.T) {
	s, _, _ := roleServer(t)
	allowed := map[string]map[api.Role]bool{
		"l": {api.Viewer: true, api.Operator: true, api.MachineRole: true},
		"a": {api.Operator: true},
		"m": {api.MachineRole: true},
		"o": {api.Operator: true, api.MachineRole: true},
		"*": {api.Viewer: true, api.Operator: true, api.MachineRole: true, "": true, "root": true},
	}
	seen := 0
	for path, methods := range s.endpoints {
		for method, e := range methods {
			seen++
			may, ok := allowed[whoMay[method+" "+path]]
			if !ok {
				t.Errorf("%s %s is in no table of roles", method, path)
				continue
			}
			if e.access == 0 {
				t.Errorf("%s %s declares no role", method, path)
			}
			if method != http.MethodGet && method != "" && e.access == permRead {
				t.Errorf("%s %s changes something, and viewers may use it", method, path)
			}
			concrete := strings.NewReplacer("{name}", "a.service", "{id}", "m1", "{verb}", "drain", "{unit}", "a.service").Replace(path)
			verb := method
			if method == "" {
				verb, concrete = "GET", "/nowhere"
			}
			for _, role := range []api.Role{api.Viewer, api.Operator, api.MachineRole, "", "root", "Operator"} {
				want := http.StatusForbidden
				if may[role] || method == "" {
					want = http.StatusTeapot
				}
				if got := ask(s, role, verb, concrete); got != want {
					t.Errorf("%s %s as %q: %d, want %d", verb, concrete, role, got, want)
				}
			}
		}
	}
	if seen != len(whoMay) {
		t.Errorf("the table has %d endpoints, the server %d", len(whoMay), seen)
	}
}

func TestRefusalsAreRecordedOnceInAWhile(t *testing.T) {
	s, store, log := roleServer(t)
	for range 10 {
		ask(s, api.Viewer, "POST", "/v1/actions")
	}
	ask(s, api.Viewer, "POST", "/v1/leave")
	ask(s, api.Operator, "POST", "/v1/leave")
	events, err := store.Events(t.Context(), time.Time{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 2 {
		t.Fatalf("%d events, want one for each path: %+v", len(events), events)
	}
	for _, e := range events {
		if e.Kind != cluster.EventRefused || e.By != "ada" || !strings.Contains(e.Text, "viewer") {
			t.Errorf("recorded as %+v", e)
		}
	}
	if n := strings.Count(log.String(), "refused"); n != 2 {
		t.Errorf("logged %d times:\n%s", n, log)
	}
	for i := range 10 * refusalKinds {
		ask(s, api.Viewer, "POST", fmt.Sprintf("/v1/machines/m%d/drain", i)+strings.Repeat("x", 1000))
	}
	if events, err = store.Events(t.Context(), time.Time{}, 10000); err != nil || len(events) > refusalKinds {
		t.Errorf("%d events, %v, want %d at most", len(events), err, refusalKinds)
	}
	for _, e := range events {
		if len(e.Text) > 2*refusalPath {
			t.Errorf("an event of %d bytes", len(e.Text))
		}
	}
	now := time.Now()
	if f := (&refusals{}); !f.due("a", now) || f.due("a", now.Add(refusalEvery-1)) || !f.due("a", now.Add(refusalEvery)) {
		t.Error("not once in a while")
	}
}
