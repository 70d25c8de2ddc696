package systemd

import (
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"fleettop/units"
)

func change(seq dbus.Sequence, iface string, props map[string]any) *dbus.Signal {
	body := map[string]dbus.Variant{}
	for name, v := range props {
		body[name] = dbus.MakeVariant(v)
	}
	return &dbus.Signal{Sequence: seq, Name: propertiesIface + ".PropertiesChanged", Body: []any{iface, body, []string{}}}
}

func TestChanged(t *testing.T) {
	written := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	began := time.Date(2024, 5, 1, 12, 0, 0, 123000, time.UTC)
	u := newTable().add(heldFile{name: "web@1.service", hash: "abc", written: written})
	want := units.Status{Name: "web@1.service", Hash: "abc", Load: "loaded", Active: "inactive", Sub: "dead",
		Result: "success", Since: written}
	check := func(when string) {
		t.Helper()
		if got := u.status(); !got.Equal(want) {
			t.Errorf("%s:\n got %+v\nwant %+v", when, got, want)
		}
	}
	check("a new unit")
	// What the type says counts from when the rest is said.
	if u.changed(change(1, busName+".Service", map[string]any{"MainPID": uint32(42), "NRestarts": uint32(2),
		"Result": "success", "ExecMainCode": int32(1), "ExecMainStatus": int32(3), "Slice": "x"})) {
		t.Error("half a description counts as a whole one")
	}
	check("half described")
	if !u.changed(change(2, unitIface, map[string]any{"ActiveState": "active", "SubState": "running",
		"ActiveEnterTimestamp": uint64(began.UnixMicro()), "StateChangeTimestamp": uint64(began.UnixMicro()),
		"Job": []any{uint32(0), "/"}})) {
		t.Error("a whole description doesn't count")
	}
	want.Active, want.Sub, want.PID, want.Restarts, want.Since = "active", "running", 42, 2, began
	check("running")
	if r := u.unitResult(); r.ExitCode != 1 || r.ExitStatus != 3 {
		t.Errorf("result: %+v", r)
	}
	u.setOne("MainPID", dbus.MakeVariant("not a number")) // nothing a stranger sends harms
	u.changed(&dbus.Signal{Body: []any{unitIface}})
	u.changed(&dbus.Signal{Body: []any{1, 2, 3}})
	check("after nonsense")
}

// A start that systemd never heard of has failed all the same, until another one.
func TestRefusedStart(t *testing.T) {
	m := &Manager{table: newTable()}
	u := m.table.add(heldFile{name: "a.service"})
	wants := func(when, state string) {
		t.Helper()
		if s := u.status(); s.Active+"/"+s.Sub+"/"+s.Result != state {
			t.Errorf("%s it is %+v, want %s", when, s, state)
		}
	}
	m.refuse(u.name, true)
	wants("refused", "failed/failed/resources")
	u.changed(change(1, unitIface, map[string]any{"ActiveState": "inactive", "SubState": "dead"}))
	wants("after a reload", "failed/failed/resources")
	m.refuse(u.name, false)
	wants("started again", "inactive/dead/success")
	m.refuse(u.name, true)
	u.changed(change(2, unitIface, map[string]any{"ActiveState": "active", "SubState": "running"}))
	wants("started by hand", "active/running/success")
	m.refuse(u.name, true) // a restart
	wants("while it runs", "active/running/success")
	u.changed(change(3, unitIface, map[string]any{"ActiveState": "inactive", "SubState": "dead"}))
	wants("when it has ended", "inactive/dead/success")
}

func TestSince(t *testing.T) {
	u := &unit{file: heldFile{written: time.UnixMicro(1).UTC()}, times: map[string]uint64{
		"ActiveEnterTimestamp": 10, "ActiveExitTimestamp": 20, "InactiveEnterTimestamp": 30, "InactiveExitTimestamp": 40,
		"StateChangeTimestamp": 50}}
	for active, usec := range map[string]int64{"active": 10, "reloading": 10, "deactivating": 20, "inactive": 30,
		"failed": 30, "activating": 40, "maintenance": 50, "unheard-of": 50} {
		u.active = active
		if got := u.since(); got.UnixMicro() != usec {
			t.Errorf("%s since %d, want %d", active, got.UnixMicro(), usec)
		}
	}
}

func TestSpecialIface(t *testing.T) {
	for name, want := range map[string]string{"a.service": busName + ".Service", "a.b.socket": busName + ".Socket",
		"x.target": "", "x.slice": ""} {
		if got, _ := specialIface(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// Units, not changes, wait for a slow reader, in the order they changed.
func TestBatch(t *testing.T) {
	m := &Manager{table: newTable(), watchers: map[*watcher]struct{}{}}
	w := &watcher{wake: make(chan struct{}, 1), waiting: map[string]bool{}, last: map[string]units.Status{}}
	m.watchers[w] = struct{}{}
	for _, name := range []string{"a.service", "b.service", "c.service"} {
		u := m.table.add(heldFile{name: name})
		u.visible = name != "c.service"
		if u.visible {
			w.last[name] = u.status()
		}
	}
	set := func(name, active string) {
		m.table.byName[name].active = active
		m.mark(name)
	}
	set("b.service", "activating")
	set("a.service", "active")
	set("b.service", "active")
	set("c.service", "active") // not loaded yet
	batch := m.batch(w)
	if len(batch) != 2 || batch[0].Name != "b.service" || batch[0].Active != "active" || batch[1].Name != "a.service" {
		t.Errorf("batch: %+v", batch)
	}
	set("a.service", "active")
	if batch := m.batch(w); len(batch) != 0 {
		t.Errorf("a change that changes nothing: %+v", batch)
	}
	m.table.remove("a.service")
	m.mark("a.service")
	m.table.remove("c.service")
	m.mark("c.service") // never seen, so never gone
	if batch := m.batch(w); len(batch) != 1 || batch[0].Load != "not-found" || batch[0].Active != "inactive" {
		t.Errorf("an unload: %+v", batch)
	}
}

// Loads are gathered into batches that have each name once, in order.
func TestTake(t *testing.T) {
	request := func(list ...string) *loadRequest {
		r := &loadRequest{}
		for _, s := range list {
			n, err := units.ParseName(s)
			if err != nil {
				t.Fatal(err)
			}
			r.batch = append(r.batch, incoming{name: n})
		}
		return r
	}
	r1, r2, r3, r4 := request("a.service", "b.service"), request("c.service"), request("a.service"), request("d.service")
	g := &gatherer{running: true, waiting: []*loadRequest{r1, r2, r3, r4}}
	for i, want := range [][]*loadRequest{{r1, r2}, {r3, r4}, nil} {
		got := g.take()
		if len(got) != len(want) {
			t.Fatalf("batch %d has %d requests, want %d", i, len(got), len(want))
		}
		for k := range want {
			if got[k] != want[k] {
				t.Errorf("batch %d: request %d is another one", i, k)
			}
		}
		if g.running != (want != nil) {
			t.Errorf("after batch %d it runs: %v", i, g.running)
		}
	}
}
