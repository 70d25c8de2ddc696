package etcdstore

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"fleettop/cluster"
)

// mostBadKeys bounds the memory of complaints.
const mostBadKeys = 1000

// encode turns a value into JSON, without the escapes meant for web pages,
// which would swell unit files.
func encode(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", fmt.Errorf("encode %T: %w", v, err)
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// notePut adds what a key now says to a change. A value that doesn't decode
// is logged once and left out.
func (s *Store) notePut(c *cluster.Change, kv *mvccpb.KeyValue) {
	kind, rest := s.keys.parse(string(kv.Key))
	var err error
	switch kind {
	case kindUnit:
		var u cluster.Unit
		if err = json.Unmarshal(kv.Value, &u); err == nil {
			u.Name, u.Generation = rest, kv.Version
			note(&c.Units, rest, &u)
		}
	case kindAssignment:
		var a cluster.Assignment
		if err = json.Unmarshal(kv.Value, &a); err == nil {
			k := onMachine(rest)
			a.Machine, a.Unit = k.Machine, k.Unit
			note(&c.Assignments, k, &a)
		}
	case kindStatus:
		var st cluster.Status
		if err = json.Unmarshal(kv.Value, &st); err == nil {
			k := onMachine(rest)
			st.Machine, st.Name = k.Machine, k.Unit
			note(&c.Statuses, k, &st)
		}
	case kindMachine:
		var m cluster.Machine
		if err = json.Unmarshal(kv.Value, &m); err == nil {
			m.ID = rest
			note(&c.Machines, rest, &m)
		}
	case kindAlive:
		var r cluster.Run
		if err = json.Unmarshal(kv.Value, &r); err == nil {
			r.Machine = rest
			note(&c.Runs, rest, &r)
		}
	case kindFence:
		var f cluster.Fence
		if err = json.Unmarshal(kv.Value, &f); err == nil {
			f.Machine, f.Revision = rest, kv.ModRevision
			note(&c.Fences, rest, &f)
		}
	case kindVerdict:
		var h cluster.Health
		if err = json.Unmarshal(kv.Value, &h); err == nil {
			note(&c.Verdicts, rest, &h)
		}
	case kindUnplaced:
		var u cluster.Unplaced
		if err = json.Unmarshal(kv.Value, &u); err == nil {
			note(&c.Unplaced, rest, &u)
		}
	case kindWhatIf:
		var w cluster.WhatIf
		if err = json.Unmarshal(kv.Value, &w); err == nil {
			note(&c.WhatIf, rest, &w)
		}
	case kindLeader:
		var l cluster.Leader
		if err = json.Unmarshal(kv.Value, &l); err == nil {
			l.Term = kv.CreateRevision
			c.Leader = &l
		}
	case kindCluster:
		id := string(kv.Value)
		c.ClusterID = &id
	case kindEvent:
		var e cluster.Event
		if err = json.Unmarshal(kv.Value, &e); err == nil {
			e.ID = rest
			c.Events = append(c.Events, e)
		}
	}
	if err != nil {
		s.complain(string(kv.Key), err)
	}
}

// noteDelete adds the end of a key to a change.
func (s *Store) noteDelete(c *cluster.Change, key string) {
	kind, rest := s.keys.parse(key)
	switch kind {
	case kindUnit:
		note(&c.Units, rest, nil)
	case kindAssignment:
		note(&c.Assignments, onMachine(rest), nil)
	case kindStatus:
		note(&c.Statuses, onMachine(rest), nil)
	case kindMachine:
		note(&c.Machines, rest, nil)
	case kindAlive:
		note(&c.Runs, rest, nil)
	case kindFence:
		note(&c.Fences, rest, nil)
	case kindVerdict:
		note(&c.Verdicts, rest, nil)
	case kindUnplaced:
		note(&c.Unplaced, rest, nil)
	case kindWhatIf:
		note(&c.WhatIf, rest, nil)
	case kindLeader:
		c.Leader = &cluster.Leader{}
	case kindCluster:
		c.ClusterID = new(string)
	}
}

func note[K comparable, V any](m *map[K]*V, key K, v *V) {
	if *m == nil {
		*m = map[K]*V{}
	}
	(*m)[key] = v
}

// complain logs a value that can't be read, once a key.
func (s *Store) complain(key string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.bad[key]; known || len(s.bad) >= mostBadKeys {
		return
	}
	s.bad[key] = struct{}{}
	s.log.Error("etcd holds a value that can't be read; it is ignored until it is written anew or deleted",
		"key", key, "error", err)
}
