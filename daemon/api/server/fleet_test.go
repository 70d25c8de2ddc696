package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/daemon/api/fleetv1"
	"fleettop/daemon/api/server"
	"fleettop/units"
)

const (
	fleetJSON    = "application/json"
	fleetOptions = `"options":[{"name":"ExecStart","section":"Service","value":"/bin/sleep 1000"}]`
)

// fleetPut sends a PUT of a unit and returns the status and the body.
func fleetPut(t *testing.T, c *apitest.Cluster, name, body string) (int, string) {
	t.Helper()
	return send(t, c, "PUT", "/fleet/v1/units/"+name+"?alt=json", fleetJSON, body)
}

// fleetGet decodes what is at a path of fleet's API.
func fleetGet[T any](t *testing.T, c *apitest.Cluster, path string) T {
	t.Helper()
	status, body := send(t, c, "GET", "/fleet/v1"+path, "", "")
	if status != http.StatusOK {
		t.Fatalf("GET %s is answered %d %s", path, status, body)
	}
	var out T
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		t.Fatalf("GET %s: %v in %s", path, err, body)
	}
	return out
}

func fleetUnit(t *testing.T, c *apitest.Cluster, name string) fleetv1.Unit {
	t.Helper()
	return fleetGet[fleetv1.Unit](t, c, "/units/"+name)
}

func TestFleetRefusals(t *testing.T) {
	c := apitest.Start(t, 2)
	for _, name := range []string{"known.service", "bare@.service"} {
		if status, body := fleetPut(t, c, name, `{`+fleetOptions+`}`); status != http.StatusCreated || body != "" {
			t.Fatalf("%s is answered %d %q", name, status, body)
		}
	}
	id := apitest.Machine(1).ID
	patch := func(op, path, value string) string {
		return fmt.Sprintf(`[{"op":%q,"path":%q,"value":%q}]`, op, path, value)
	}
	const js = fleetJSON
	for _, tc := range []struct {
		name, method, path, ctype, body string
		status                          int
		says                            string
	}{
		{"no such path", "GET", "/fleet/v2/units", "", "", 404, "there is nothing at /fleet/v2/units"},
		{"no such path of the older prefix", "GET", "/v1-alpha/jobs", "", "", 404, "there is nothing"},
		{"wrong method", "POST", "/fleet/v1/units", js, `{}`, 405, "use GET"},
		{"wrong method for one", "POST", "/fleet/v1/units/known.service", js, `{}`, 405, "use DELETE or GET or PUT"},
		{"wrong method for states", "DELETE", "/fleet/v1/state", "", "", 405, "use GET"},
		{"unit not there", "GET", "/fleet/v1/units/nope.service", "", "", 404, "unit does not exist"},
		{"destroyed and not there", "DELETE", "/fleet/v1/units/nope.service", "", "", 404, "unit does not exist"},
		{"bad token for units", "GET", "/fleet/v1/units?nextPageToken=EwBMLg==x", "", "", 400, "nextPageToken"},
		{"bad token for states", "GET", "/fleet/v1/state?nextPageToken=x", "", "", 400, "nextPageToken"},
		{"bad token for machines", "GET", "/fleet/v1/machines?nextPageToken=EwBMLg", "", "", 400, "nextPageToken"},
		{"no content type", "PUT", "/fleet/v1/units/a.service", "", `{}`, 415, "application/json"},
		{"another content type", "PUT", "/fleet/v1/units/a.service", "text/plain", `{}`, 415, "application/json"},
		{"not JSON", "PUT", "/fleet/v1/units/a.service", js, `{`, 400, "can't be read"},
		{"another name", "PUT", "/fleet/v1/units/a.service", js, `{"name":"b.service",` + fleetOptions + `}`,
			400, "b.service"},
		{"no name of a unit", "PUT", "/fleet/v1/units/a", js, `{` + fleetOptions + `}`, 400, "a.service"},
		{"slash in a name", "PUT", "/fleet/v1/units/a%2Fb.service", js, `{` + fleetOptions + `}`, 400, "a/b.service"},
		{"new without options", "PUT", "/fleet/v1/units/a.service", js, `{"desiredState":"launched"}`, 409, "no options"},
		{"neither options nor state", "PUT", "/fleet/v1/units/known.service", js, `{}`, 409, "neither"},
		{"no such state", "PUT", "/fleet/v1/units/known.service", js, `{"desiredState":"running"}`, 400, "running"},
		{"options that can't be a file", "PUT", "/fleet/v1/units/a.service", js,
			`{"options":[{"section":"Service","name":"ExecStart","value":"/bin/true\nUser=root"}]}`, 400, "a.service"},
		{"options that conflict", "PUT", "/fleet/v1/units/a.service", js, `{"options":[` +
			`{"section":"Service","name":"ExecStart","value":"/bin/true"},` +
			`{"section":"X-Fleet","name":"Global","value":"true"},` +
			`{"section":"X-Fleet","name":"MachineOf","value":"b.service"}]}`, 400, "a.service"},
		{"a template to be loaded", "PUT", "/fleet/v1/units/bare@.service", js, `{"desiredState":"loaded"}`, 400,
			`cannot activate template "bare@.service"`},
		{"a template to be launched", "PUT", "/fleet/v1/units/bare%40.service", js, `{"desiredState":"launched"}`, 400,
			`cannot activate template "bare@.service"`},
		{"a new template to be launched", "PUT", "/fleet/v1/units/new@.service", js,
			`{"desiredState":"launched",` + fleetOptions + `}`, 400, `cannot activate template "new@.service"`},
		{"no list of changes", "PATCH", "/fleet/v1/machines", js, `{}`, 400, "can't be read"},
		{"changes without their type", "PATCH", "/fleet/v1/machines", "", `[]`, 415, "application/json"},
		{"no such change", "PATCH", "/fleet/v1/machines", js, patch("test", "/"+id+"/metadata/a", "b"),
			400, `invalid op "test"`},
		{"no path", "PATCH", "/fleet/v1/machines", js, patch("add", "", "b"), 400, "invalid path"},
		{"a path to something else", "PATCH", "/fleet/v1/machines", js, patch("add", "/"+id+"/primaryIP/a", "b"),
			400, "invalid path"},
		{"a path to all metadata", "PATCH", "/fleet/v1/machines", js, patch("remove", "/"+id+"/metadata", ""),
			400, "invalid path"},
		{"no key", "PATCH", "/fleet/v1/machines", js, patch("add", "/"+id+"/metadata/", "b"), 400, "key"},
		{"no value", "PATCH", "/fleet/v1/machines", js, patch("add", "/"+id+"/metadata/a", ""), 400, "no value"},
		{"no such machine", "PATCH", "/fleet/v1/machines", js,
			patch("add", "/"+strings.Repeat("f", 32)+"/metadata/a", "b"), 400, "ffff"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, body := send(t, c, tc.method, tc.path, tc.ctype, tc.body)
			var e fleetv1.ErrorBody
			err := json.Unmarshal([]byte(body), &e)
			if status != tc.status || err != nil || e.Error.Code != status || !strings.Contains(e.Error.Message, tc.says) {
				t.Errorf("answered %d %s; want %d with %q", status, body, tc.status, tc.says)
			}
		})
	}
	if p := fleetGet[fleetv1.UnitPage](t, c, "/units"); len(p.Units) != 2 {
		t.Errorf("refused input left something: %+v", p)
	}
	// Nothing is wedged: an instance of the template goes its way.
	status, body := fleetPut(t, c, "bare@1.service", `{"desiredState":"launched",`+fleetOptions+`}`)
	if status != http.StatusCreated {
		t.Fatalf("the instance is answered %d %s", status, body)
	}
	apitest.Eventually(t, "the instance is launched", func() bool {
		return fleetUnit(t, c, "bare@1.service").CurrentState == units.Launched
	})
	for _, m := range fleetGet[fleetv1.MachinePage](t, c, "/machines").Machines {
		if len(m.Metadata) != 1 {
			t.Errorf("a refused change was made: %+v", m)
		}
	}
}

// TestFleetEmptyAnswers: the error body of what isn't there is byte by byte fleet's, an unknown
// unit's state is an empty one, and an empty list is {}.
func TestFleetEmptyAnswers(t *testing.T) {
	c := apitest.Start(t, 1)
	for path, want := range map[string]string{
		"/fleet/v1/units/nope.service": `404 {"error":{"code":404,"message":"unit does not exist"}}`,
		"/v1-alpha/units/nope.service": `404 {"error":{"code":404,"message":"unit does not exist"}}`,
		"/fleet/v1/state/nope.service": `200 {}`,
		"/fleet/v1/units":              `200 {}`,
		"/v1-alpha/units?alt=json":     `200 {}`,
		"/fleet/v1/state":              `200 {}`,
		"/fleet/v1/machines": fmt.Sprintf(`200 {"machines":[{"id":%q,"metadata":{"rack":"1"},"primaryIP":"198.18.1.1"}]}`,
			apitest.Machine(1).ID),
		"/fleet/v1/machines?nextPageToken=ZAACAA==": `200 {}`,
	} {
		if status, body := send(t, c, "GET", path, "", ""); fmt.Sprint(status, " ", body) != want {
			t.Errorf("%s is answered %d %s, want %s", path, status, body, want)
		}
	}
	status, body := send(t, c, "GET", "/v1-alpha/discovery", "", "")
	var doc struct{ BasePath string }
	if err := json.Unmarshal([]byte(body), &doc); status != 200 || err != nil || doc.BasePath != "/fleet/v1/" {
		t.Errorf("discovery is answered %d, %v, %s", status, err, body)
	}
}

func TestFleetPages(t *testing.T) {
	c := apitest.Start(t, 2)
	var files []api.File
	for i := range 250 {
		files = append(files, api.File{Name: fmt.Sprintf("u%03d.service", i), Content: service})
	}
	if _, err := c.Client().Act(t.Context(), api.ActionRequest{Verb: api.Start, Files: files}); err != nil {
		t.Fatal(err)
	}
	client, err := fleetv1.Dial(c.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	apitest.Eventually(t, "all are reported", func() bool {
		list, err := client.States(t.Context())
		return err == nil && len(list) == 250
	})
	list, err := client.Units(t.Context())
	byName := func(a, b fleetv1.Unit) int { return strings.Compare(a.Name, b.Name) }
	if err != nil || len(list) != 250 || !slices.IsSortedFunc(list, byName) {
		t.Errorf("%d units, %v", len(list), err)
	}
	for i, want := range []int{100, 100, 50} {
		token := fleetv1.Page{Limit: 100, Number: uint16(i + 1)}.Token()
		p := fleetGet[fleetv1.UnitPage](t, c, "/units?nextPageToken="+token)
		if last := i == 2; len(p.Units) != want || (p.NextPageToken == "") != last {
			t.Errorf("page %d has %d units, then %q", i+1, len(p.Units), p.NextPageToken)
		}
	}
	of := apitest.Machine(2).ID
	for query, want := range map[string]int{"machineID=" + of: 100, "unitName=u007.service": 1, "unitName=nope.service": 0,
		"unitName=u007.service&machineID=nope": 0} {
		p := fleetGet[fleetv1.UnitStatePage](t, c, "/state?"+query)
		other := slices.ContainsFunc(p.States, func(st fleetv1.UnitState) bool {
			return strings.Contains(query, of) && st.MachineID != of
		})
		if len(p.States) != want || other {
			t.Errorf("%s has %d states: %+v", query, len(p.States), p.States)
		}
	}
}

// TestFleetDesiredState goes through what a PUT may ask of a unit, lower states included.
func TestFleetDesiredState(t *testing.T) {
	c := apitest.Start(t, 2)
	other := strings.Replace(fleetOptions, "1000", "2000", 1)
	until := func(current units.DesiredState) fleetv1.Unit {
		t.Helper()
		var u fleetv1.Unit
		apitest.Eventually(t, "the unit is "+string(current), func() bool {
			u = fleetUnit(t, c, "a.service")
			return u.CurrentState == current && (u.MachineID == "") == (current == units.Inactive)
		})
		return u
	}
	put := func(body string, want int) {
		t.Helper()
		if status, answer := fleetPut(t, c, "a.service", body); status != want || answer != "" {
			t.Fatalf("%s is answered %d %s, want %d", body, status, answer, want)
		}
	}
	put(`{"name":"a.service",`+fleetOptions+`}`, 201)
	until(units.Inactive)
	put(`{"name":"a.service",`+fleetOptions+`}`, 204) // it is so already
	put(`{"desiredState":"loaded"}`, 204)
	until(units.Loaded)
	put(`{"desiredState":"launched"}`, 204)
	until(units.Launched)
	put(`{"desiredState":"launched",`+fleetOptions+`}`, 204)
	put(`{"desiredState":"loaded"}`, 204)
	until(units.Loaded)
	put(`{"desiredState":"inactive"}`, 204)
	until(units.Inactive)
	put(`{"desiredState":"launched"}`, 204)
	until(units.Launched)

	put(`{`+other+`}`, 201) // replaced and not to run, which is what its client waits for
	if u := until(units.Inactive); u.DesiredState != units.Inactive || u.Options[0].Value != "/bin/sleep 2000" {
		t.Errorf("replaced: %+v", u)
	}
	put(`{"desiredState":"launched",`+fleetOptions+`}`, 201)
	if u := until(units.Launched); u.Options[0].Value != "/bin/sleep 1000" {
		t.Errorf("replaced and started: %+v", u)
	}
	put(`{"desiredState":"loaded",`+other+`}`, 201)
	if u := until(units.Loaded); u.DesiredState != units.Loaded || u.Options[0].Value != "/bin/sleep 2000" {
		t.Errorf("replaced and stopped: %+v", u)
	}
	if status, body := send(t, c, "DELETE", "/fleet/v1/units/a.service?alt=json", "", ""); status != 204 || body != "" {
		t.Errorf("destroy is answered %d %s", status, body)
	}
	if status, _ := send(t, c, "GET", "/fleet/v1/units/a.service", "", ""); status != 404 {
		t.Errorf("a destroyed unit is answered %d", status)
	}
}

// TestFleetStopIsSeen: a unit that is to stop stays launched until it has, and one that is taken
// from its machine stays there until it is gone.
func TestFleetStopIsSeen(t *testing.T) {
	c := apitest.Start(t, 1)
	if status, body := fleetPut(t, c, "a.service", `{"desiredState":"launched",`+fleetOptions+`}`); status != 201 {
		t.Fatal(status, body)
	}
	launched := func() bool { return fleetUnit(t, c, "a.service").CurrentState == units.Launched }
	apitest.Eventually(t, "the unit is launched", launched)
	c.Pause()
	for _, desired := range []string{"loaded", "inactive"} {
		if status, body := fleetPut(t, c, "a.service", `{"desiredState":"`+desired+`"}`); status != 204 {
			t.Fatal(status, body)
		}
		u := fleetUnit(t, c, "a.service")
		if u.CurrentState != units.Launched || u.MachineID == "" || string(u.DesiredState) != desired {
			t.Errorf("while nothing was done it is %+v", u)
		}
	}
	c.Resume()
	apitest.Eventually(t, "the unit is gone", func() bool {
		u := fleetUnit(t, c, "a.service")
		return u.CurrentState == units.Inactive && u.MachineID == ""
	})
}

// TestFleetInstances: an instance that a client makes of its template's options follows the
// template, comments and all, and one with other options doesn't.
func TestFleetInstances(t *testing.T) {
	c := apitest.Start(t, 1)
	client := c.Client()
	const text = "# how long\n[Service]\nExecStart=/bin/sleep 1000\n"
	submit(t, client, api.Submit, "a@.service", text)
	for _, name := range []string{"a@1.service", "b@1.service"} {
		status, body := fleetPut(t, c, strings.Replace(name, "@", "%40", 1), `{"name":"`+name+`",`+fleetOptions+`}`)
		if status != 201 {
			t.Fatal(status, body)
		}
	}
	u, err := client.Unit(t.Context(), "a@1.service")
	if err != nil || !u.FromTemplate || u.Content != text {
		t.Errorf("the instance is %+v, %v", u, err)
	}
	if u, err = client.Unit(t.Context(), "b@1.service"); err != nil || u.FromTemplate {
		t.Errorf("the instance without a template is %+v, %v", u, err)
	}
	if _, err := client.Act(t.Context(), api.ActionRequest{Verb: api.Submit, Replace: true,
		Files: []api.File{{Name: "a@.service", Content: strings.Replace(text, "1000", "2000", 1)}}}); err != nil {
		t.Fatal(err)
	}
	if u := fleetUnit(t, c, "a@1.service"); u.Options[0].Value != "/bin/sleep 1000" {
		t.Errorf("a template that changes changes no instance: %+v", u)
	}
}

func TestFleetGlobalUnit(t *testing.T) {
	c := apitest.Start(t, 3)
	submit(t, c.Client(), api.Start, "a.service", service+"[X-Fleet]\nGlobal=true\n")
	apitest.Eventually(t, "it is on all machines", func() bool {
		return len(fleetGet[fleetv1.UnitStatePage](t, c, "/state").States) == 3
	})
	list := fleetGet[fleetv1.UnitPage](t, c, "/units").Units
	if len(list) != 1 || list[0].CurrentState != "" || list[0].MachineID != "" || list[0].DesiredState != units.Launched {
		t.Errorf("a global unit is %+v", list)
	}
	if one := fleetUnit(t, c, "a.service"); one.CurrentState != "" || one.MachineID != "" {
		t.Errorf("alone it is %+v", one)
	}
	st := fleetGet[fleetv1.UnitState](t, c, "/state/a.service")
	if st.MachineID != apitest.Machine(1).ID || st.SystemdActiveState != "active" {
		t.Errorf("its state is %+v", st)
	}
}

func TestFleetMachines(t *testing.T) {
	c := apitest.Start(t, 3)
	patch := func(body string) {
		t.Helper()
		status, answer := send(t, c, "PATCH", "/fleet/v1/machines?alt=json", fleetJSON, body)
		if status != 204 || answer != "" {
			t.Fatalf("%s is answered %d %s", body, status, answer)
		}
	}
	first, second := apitest.Machine(1).ID, apitest.Machine(2).ID
	patch(`[{"op":"add","path":"/` + first + `/metadata/disk","value":"ssd"},` +
		`{"op":"replace","path":"/` + second + `/metadata/rack","value":"9"},` +
		`{"op":"remove","path":"/` + first + `/metadata/rack"}]`)
	list := fleetGet[fleetv1.MachinePage](t, c, "/machines").Machines
	if len(list) != 3 ||
		fmt.Sprint(list[0].Metadata, list[1].Metadata, list[2].Metadata) != "map[disk:ssd] map[rack:9] map[rack:3]" {
		t.Errorf("the machines are %+v", list)
	}
	patch(`[]`)
	patch(`[{"op":"remove","path":"/` + first + `/metadata/nothing"}]`)
	submit(t, c.Client(), api.Start, "a.service", service+"[X-Fleet]\nMachineMetadata=disk=ssd\n")
	apitest.Eventually(t, "the unit is where the metadata is", func() bool {
		return fleetUnit(t, c, "a.service").MachineID == first
	})
	c.SetHealth(second, cluster.Failed)
	apitest.Eventually(t, "a machine that failed is not listed", func() bool {
		list := fleetGet[fleetv1.MachinePage](t, c, "/machines").Machines
		return len(list) == 2 && list[1].ID == apitest.Machine(3).ID
	})
}

// TestFleetWithoutTheStore: where the state may be old, fleet's clients are refused.
func TestFleetWithoutTheStore(t *testing.T) {
	c := apitest.Start(t, 1)
	fleetPut(t, c, "a.service", `{`+fleetOptions+`}`)
	c.Store.SetReachable(false)
	for _, r := range []struct{ method, path, body string }{
		{"GET", "/fleet/v1/units", ""}, {"GET", "/fleet/v1/units/a.service", ""}, {"GET", "/v1-alpha/state", ""},
		{"GET", "/fleet/v1/machines", ""}, {"PUT", "/fleet/v1/units/a.service", `{"desiredState":"loaded"}`},
		{"DELETE", "/fleet/v1/units/a.service", ""}, {"PATCH", "/fleet/v1/machines", `[]`},
	} {
		status, body := send(t, c, r.method, r.path, fleetJSON, r.body)
		var e fleetv1.ErrorBody
		if err := json.Unmarshal([]byte(body), &e); err != nil || status != 503 || e.Error.Code != 503 {
			t.Errorf("%s %s is answered %d %s", r.method, r.path, status, body)
		}
	}
	c.Store.SetReachable(true)
	apitest.Eventually(t, "it is answered again", func() bool {
		status, _ := send(t, c, "GET", "/fleet/v1/units/a.service", "", "")
		return status == 200
	})
}

// TestFleetRoles: a viewer may read and change nothing, and is refused in fleet's form, under both
// prefixes.
func TestFleetRoles(t *testing.T) {
	c := apitest.Start(t, 1)
	viewer := server.AsRole(api.Viewer, c.API)
	for _, prefix := range fleetv1.Prefixes() {
		for _, r := range []struct {
			method, path string
			want         int
		}{{"GET", "/units", 200}, {"GET", "/machines", 200}, {"PUT", "/units/a.service", 403},
			{"DELETE", "/units/a.service", 403}, {"PATCH", "/machines", 403}} {
			w := httptest.NewRecorder()
			viewer.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), r.method, prefix+r.path, strings.NewReader("{}")))
			var e fleetv1.ErrorBody
			err := json.Unmarshal(w.Body.Bytes(), &e)
			refused := e.Error.Code == 403 && strings.Contains(e.Error.Message, "operators")
			if w.Code != r.want || err != nil || refused != (r.want == 403) {
				t.Errorf("%s %s%s is answered %d %s", r.method, prefix, r.path, w.Code, w.Body)
			}
		}
	}
}
