package server

import (
	_ "embed"
	"maps"
	"net/http"
	"slices"
	"strings"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/fleetv1"
)

// fleetMachines answers with the machines whose units are taken to be running.
func (s *Server) fleetMachines(l readRequest) ([]byte, *api.Error) {
	p, e := fleetPage(l)
	if e != nil {
		return nil, e
	}
	health := s.health(l.snap, l.store)
	var entries [][]byte
	for _, id := range sortedKeys(l.snap.Machines) {
		if h, judged := health[id]; judged && !h.State.Runs() {
			continue
		}
		m := l.snap.Machines[id]
		entries = append(entries, mustJSON(fleetv1.Machine{ID: id, Metadata: m.Metadata, PrimaryIP: m.Address}))
	}
	return fleetBody("machines", entries, p), nil
}

// override is one change of a machine's metadata; an empty value removes the key.
type override struct{ machine, key, value string }

func (s *Server) patchFleetMachines(w http.ResponseWriter, r *http.Request) {
	s.fleetActing(w, r, func(l readRequest) (int, *api.Error) {
		var ops []fleetv1.MetadataOp
		if e := readBody(w, r, &ops, false); e != nil {
			return 0, e
		}
		list := make([]override, 0, len(ops))
		for _, op := range ops {
			o, e := overrideOf(l.snap, op)
			if e != nil {
				return 0, e
			}
			list = append(list, o)
		}
		return http.StatusNoContent, s.override(l, list)
	})
}

// overrideOf checks a change.
func overrideOf(snap *cluster.Snapshot, op fleetv1.MetadataOp) (override, *api.Error) {
	path := strings.SplitN(op.Path, "/", 4)
	if len(path) != 4 || path[0] != "" || path[2] != "metadata" {
		return override{}, api.Refuse(api.CodeInvalid, "give /ID/metadata/KEY", "invalid path %q", op.Path)
	}
	unescaped := strings.NewReplacer("~1", "/", "~0", "~") // as in any JSON pointer
	o := override{machine: unescaped.Replace(path[1]), key: unescaped.Replace(path[3])}
	switch op.Op {
	case "remove":
	case "add", "replace":
		if o.value = op.Value; o.value == "" {
			return o, api.Refuse(api.CodeInvalid, "give one", "%s of %q has no value", op.Op, op.Path)
		}
	default:
		return o, api.Refuse(api.CodeInvalid, "choose add, remove or replace", "invalid op %q", op.Op)
	}
	if _, known := snap.Machines[o.machine]; !known {
		return o, api.Refuse(api.CodeInvalid, "give the ID of one that is, in full", "machine %s is not known", o.machine)
	}
	if err := cluster.CheckMetadata(o.key, o.value); err != nil {
		return o, api.Refuse(api.CodeInvalid, "", "%v", err)
	}
	return o, nil
}

// override changes machines' metadata, in the order given, and waits until the view shows it.
func (s *Server) override(l readRequest, list []override) *api.Error {
	of := map[string][]override{}
	for _, o := range list {
		of[o.machine] = append(of[o.machine], o)
	}
	for _, id := range sortedKeys(of) {
		err := s.cfg.Store.UpdateMachine(l.Context(), id, cluster.OfKnown(func(m *cluster.Machine) error {
			for _, o := range of[id] {
				m.Override(o.key, o.value)
			}
			return nil
		}))
		if err != nil {
			return asError(err)
		}
		s.recordMachine(l.Request, l.snap.Machines[id], "given other metadata: "+describeOverrides(of[id]), "")
	}
	await(l.Context(), l.lease, func(now *cluster.Snapshot) bool {
		for id, list := range of {
			m, known := now.Machines[id]
			last := map[string]string{}
			for _, o := range list {
				last[o.key] = o.value
			}
			differs := func(key string) bool { return m.Metadata[key] != last[key] }
			if known && slices.ContainsFunc(slices.Collect(maps.Keys(last)), differs) {
				return false
			}
		}
		return true
	})
	return nil
}

func describeOverrides(list []override) string {
	words := make([]string, 0, len(list))
	for _, o := range list {
		if o.value == "" {
			words = append(words, o.key+" removed")
		} else {
			words = append(words, o.key+"="+o.value)
		}
	}
	return strings.Join(words, ", ")
}

//go:embed fleetdiscovery.json
var fleetDiscoveryDocument []byte

func (s *Server) fleetDiscovery(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Server", s.fleetServer())
	writeFleet(w, http.StatusOK, fleetDiscoveryDocument)
}
