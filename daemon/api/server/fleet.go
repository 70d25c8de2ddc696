package server

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/fleetv1"
	"fleettop/units"
)

// fleetRoutes are fleet's API, which clients of CoreOS fleet speak. Their actions are the same as
// the verbs', so roles, checks and the timeline hold for them too.
func (s *Server) fleetRoutes() []route {
	return []route{
		{"GET", "/fleet/v1/discovery", "", permRead, s.fleetDiscovery, "fleet's API as clients discover it"},
		{"GET", "/fleet/v1/units", "nextPageToken=", permRead, s.fleetReading(s.fleetUnits),
			"a page of units (fleetv1.UnitPage)"},
		{"GET", "/fleet/v1/units/{name}", "", permRead, s.fleetReading(s.fleetUnit), "one unit (fleetv1.Unit)"},
		{"PUT", "/fleet/v1/units/{name}", "", permWrite, s.putFleetUnit,
			"submit a unit, or set its desired state (fleetv1.Unit)"},
		{"DELETE", "/fleet/v1/units/{name}", "", permWrite, s.deleteFleetUnit, "destroy a unit"},
		{"GET", "/fleet/v1/state", "machineID=&unitName=&nextPageToken=", permRead, s.fleetReading(s.fleetStates),
			"a page of systemd's states (fleetv1.UnitStatePage)"},
		{"GET", "/fleet/v1/state/{name}", "", permRead, s.fleetReading(s.fleetState), "those of one unit (fleetv1.UnitState)"},
		{"GET", "/fleet/v1/machines", "nextPageToken=", permRead, s.fleetReading(s.fleetMachines),
			"a page of the machines that are up (fleetv1.MachinePage)"},
		{"PATCH", "/fleet/v1/machines", "", permWrite, s.patchFleetMachines,
			"change machines' metadata (list of fleetv1.MetadataOp)"},
		{"", "/v1-alpha/", "", permAnybody, s.fleetAlpha, "the same as under /fleet/v1"},
		{"", "/fleet/", "", permAnybody, nothingThere, ""},
	}
}

// fleetServer is what fleet's API is served by: the version that its clients know, then ours.
func (s *Server) fleetServer() string { return "fleetd/1.0.0 fleettop/" + s.cfg.Version }

// ofFleet reports whether a path belongs to fleet's API, whose refusals have another form.
func ofFleet(path string) bool {
	return slices.ContainsFunc(fleetv1.Prefixes(), func(p string) bool { return strings.HasPrefix(path, p+"/") }) ||
		strings.HasPrefix(path, "/fleet/")
}

// refuse answers with an error in the form of the API that the request is for.
func refuse(w http.ResponseWriter, r *http.Request, e *api.Error) {
	if !ofFleet(r.URL.Path) {
		writeError(w, e)
		return
	}
	status := statusOf[e.Code]
	body, err := json.Marshal(fleetv1.ErrorBody{Error: fleetv1.Error{Code: status, Message: e.Error()}})
	if err != nil {
		status = http.StatusInternalServerError
		body = []byte(`{"error":{"code":500,"message":"the error could not be encoded"}}`)
	}
	writeFleet(w, status, body)
}

// writeFleet answers with JSON as fleet does: with its length, and no line end after it.
func writeFleet(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

// fleetAlpha serves a path of the older prefix as the newer one's.
func (s *Server) fleetAlpha(w http.ResponseWriter, r *http.Request) {
	current := *r
	u := *r.URL
	current.URL = &u
	from, to := fleetv1.Prefixes()[1], fleetv1.Prefixes()[0]
	u.Path = to + strings.TrimPrefix(u.Path, from)
	if u.RawPath != "" {
		u.RawPath = to + strings.TrimPrefix(u.RawPath, from)
	}
	s.mux.ServeHTTP(w, &current)
}

// fleetLook reads the cluster's current state. Fleet's clients can't be told that a state is
// old, so where the store is away they are refused. The caller releases the lease.
func (s *Server) fleetLook(w http.ResponseWriter, r *http.Request) (readRequest, *api.Error) {
	w.Header().Set("Server", s.fleetServer())
	l, e := s.read(r)
	if e == nil && !l.store.Connected {
		l.lease.Release()
		e = asError(cluster.ErrUnavailable)
	}
	return l, e
}

// fleetReading makes a handler of a function that answers from a snapshot.
func (s *Server) fleetReading(answer func(readRequest) ([]byte, *api.Error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		l, e := s.fleetLook(w, r)
		if e != nil {
			refuse(w, r, e)
			return
		}
		defer l.lease.Release()
		body, e := answer(l)
		if e != nil {
			refuse(w, r, e)
			return
		}
		writeFleet(w, http.StatusOK, body)
	}
}

// fleetActing makes a handler of a function that changes something and returns the status of its
// answer, which has no body.
func (s *Server) fleetActing(w http.ResponseWriter, r *http.Request, act func(readRequest) (status int, e *api.Error)) {
	l, e := s.fleetLook(w, r)
	status := 0
	if e == nil {
		defer l.lease.Release()
		status, e = act(l)
	}
	if e != nil {
		refuse(w, r, e)
		return
	}
	w.WriteHeader(status)
}

// fleetPage is the page that a request asks for.
func fleetPage(l readRequest) (fleetv1.Page, *api.Error) {
	p, err := fleetv1.ParseToken(l.URL.Query().Get("nextPageToken"))
	if err != nil {
		return p, api.Refuse(api.CodeInvalid, "", "%v", err)
	}
	return p, nil
}

func (s *Server) fleetUnit(l readRequest) ([]byte, *api.Error) {
	u, known := l.snap.Units[l.PathValue("name")]
	if !known {
		return nil, fleetUnknown()
	}
	return s.fleet.unit(l.snap, u, s.facts.of(u).global), nil
}

// fleetUnknown is the refusal for a unit that isn't there, in the words that fleet's clients know.
func fleetUnknown() *api.Error { return api.Refuse(api.CodeNotFound, "", "unit does not exist") }

func (s *Server) deleteFleetUnit(w http.ResponseWriter, r *http.Request) {
	s.fleetActing(w, r, func(l readRequest) (int, *api.Error) {
		name := l.PathValue("name")
		if _, known := l.snap.Units[name]; !known {
			return 0, fleetUnknown()
		}
		_, e := s.actOnOne(l, api.ActionRequest{Verb: api.Destroy, Units: []string{name}})
		if e != nil && e.Code == api.CodeNotFound {
			e = fleetUnknown()
		}
		return http.StatusNoContent, e
	})
}

func (s *Server) putFleetUnit(w http.ResponseWriter, r *http.Request) {
	s.fleetActing(w, r, func(l readRequest) (int, *api.Error) {
		var want fleetv1.Unit
		if e := readBody(w, r, &want, false); e != nil {
			return 0, e
		}
		return s.putUnit(l, r.PathValue("name"), want)
	})
}

// putUnit makes a unit what a client wants: new or with other options it answers 201, and 204
// where only the desired state may change.
//
// Options for a unit that has others replace its file. Without a desired state beside them the
// unit becomes inactive: a client that replaces waits for that before it starts the unit anew.
func (s *Server) putUnit(l readRequest, name string, want fleetv1.Unit) (int, *api.Error) {
	n, err := units.ParseName(name)
	switch {
	case err != nil:
		return 0, api.Refuse(api.CodeInvalid, "", "%v", err)
	case want.Name != "" && want.Name != name:
		return 0, api.Refuse(api.CodeInvalid, "give one name", "the body is about %q and the path about %q", want.Name, name)
	}
	switch want.DesiredState {
	case "", units.Inactive:
	case units.Loaded, units.Launched:
		if n.IsTemplate() {
			return 0, api.Refuse(api.CodeInvalid, "", "cannot activate template %q", name)
		}
	default:
		return 0, api.Refuse(api.CodeInvalid, "choose inactive, loaded or launched",
			"%q is no desired state", want.DesiredState)
	}
	old, known := l.snap.Units[name]
	file, e := fleetFile(l.snap, n, want)
	switch {
	case e != nil:
		return 0, e
	case file == nil && !known:
		return 0, api.Refuse(api.CodeConflict, "give its options",
			"unit does not exist and there are no options to create it from")
	case file == nil && want.DesiredState == "" && len(want.Options) == 0:
		return 0, api.Refuse(api.CodeConflict, "give one of them", "there are neither options nor a desired state")
	case file == nil && (want.DesiredState == "" || n.IsTemplate()):
		return http.StatusNoContent, nil // it is what it is to be
	case file == nil:
		return http.StatusNoContent, s.setDesired(l, name, old.Desired, want.DesiredState)
	}
	if want.DesiredState == "" {
		want.DesiredState = units.Inactive
	}
	if known && rank[want.DesiredState] < rank[old.Desired] {
		// First, so that what runs ends as it was, and isn't restarted with the new file.
		if e := s.setDesired(l, name, old.Desired, want.DesiredState); e != nil {
			return 0, e
		}
	}
	_, e = s.actOnOne(l, api.ActionRequest{Verb: submitTo[want.DesiredState], Files: []api.File{*file}, Replace: known})
	return http.StatusCreated, e
}

// fleetFile is the unit file of a client's options, nil where the unit has it already or there
// are none. An instance whose options are its template's follows the template.
func fleetFile(snap *cluster.Snapshot, n units.Name, want fleetv1.Unit) (*api.File, *api.Error) {
	if len(want.Options) == 0 {
		return nil, nil
	}
	parsed, err := want.File()
	if err != nil {
		return nil, api.Refuse(api.CodeInvalid, "", "%s: %v", n, err)
	}
	if old, known := snap.Units[n.String()]; known && old.Hash == parsed.Hash() {
		return nil, nil
	}
	if t, known := snap.Units[n.Template()]; known && t.Hash == parsed.Hash() {
		return &api.File{Name: n.String(), Content: t.Content, Template: true}, nil
	}
	return &api.File{Name: n.String(), Content: parsed.Content()}, nil
}

// rank orders the desired states.
var rank = map[units.DesiredState]int{units.Inactive: 0, units.Loaded: 1, units.Launched: 2}

// submitTo is the verb that submits a file and brings its unit to a desired state.
var submitTo = map[units.DesiredState]api.Verb{units.Inactive: api.Submit, units.Loaded: api.Load,
	units.Launched: api.Start}

// setDesired brings a unit from a desired state to another one, also to a lower one.
func (s *Server) setDesired(l readRequest, name string, from, to units.DesiredState) *api.Error {
	for range actTries {
		verb := submitTo[to]
		switch {
		case to == units.Inactive:
			verb = api.Unload
		case to == units.Loaded && from == units.Launched:
			verb = api.Stop
		}
		result, e := s.actOnOne(l, api.ActionRequest{Verb: verb, Units: []string{name}})
		if e != nil || result.Desired == to {
			return e
		}
		from = result.Desired // set by another client meanwhile
	}
	return api.Refuse(api.CodeConflict, "see what it is now and try again",
		"%s is being changed by another at the same time", name)
}

// actOnOne carries out a verb for one unit and returns what came of it.
func (s *Server) actOnOne(l readRequest, req api.ActionRequest) (api.UnitResult, *api.Error) {
	a, e := s.newAction(req, actor(l.Request))
	if e != nil {
		return api.UnitResult{}, e
	}
	a.report = func(api.Progress) {}
	if e := a.run(l.Context()); e != nil {
		return api.UnitResult{}, e
	}
	return a.items[0].result, a.items[0].result.Error
}
