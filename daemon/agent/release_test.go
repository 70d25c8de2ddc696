package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
	"fleettop/units"
	"fleettop/units/process"
)

// hostManager has a host that units are released to and taken over from. Each
// Load and Release is told.
type hostManager struct {
	units.Manager
	did  chan string
	host map[string]bool
}

func (m *hostManager) Load(ctx context.Context, files []units.UnitFile) (map[string]error, error) {
	errs := map[string]error{}
	var ours []units.UnitFile
	for _, f := range files {
		if m.host[f.Name] && !f.TakeOver {
			errs[f.Name] = units.ErrHostUnit
			m.did <- "refuse " + f.Name
			continue
		}
		delete(m.host, f.Name)
		m.did <- "load " + f.Name
		ours = append(ours, f)
	}
	more, err := m.Manager.Load(ctx, ours)
	for name, err := range more {
		errs[name] = err
	}
	return errs, err
}

func (m *hostManager) HostUnit(context.Context, string) (units.HostUnit, error) {
	return units.HostUnit{}, units.ErrNotLoaded
}

func (m *hostManager) Release(ctx context.Context, name string) (string, error) {
	if _, err := m.Unload(ctx, []string{name}); err != nil {
		return "", err
	}
	m.host[name] = true
	m.did <- "release " + name
	return "/host/" + name, nil
}

// TestReleasedStaysReleased: a unit that is taken over and then released is given
// to the host, and isn't taken back: not by the next daemon, and not by one
// that has no notes.
func TestReleasedStaysReleased(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	processes, err := process.New(process.Options{Dir: filepath.Join(dir, "run"), LogDir: filepath.Join(dir, "log"), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer processes.Close()
	const name = "web.service"
	manager := &hostManager{processes, make(chan string, 10), map[string]bool{name: true}}
	mem := memstore.New().Open()
	defer mem.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := mem.Register(ctx, cluster.Run{Machine: "m1", ID: "r1", Address: "a"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	leader, err := mem.Campaign(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	begin := func() (end func()) {
		a := New(Config{Machine: "m1", Name: "n1", Store: mem, Manager: manager, NotesPath: filepath.Join(dir, "notes.json"), Log: log})
		run, stop := context.WithCancel(ctx)
		ended := make(chan error)
		go func() { ended <- a.Run(run) }()
		a.SetSession(ctx, s)
		return func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	snap, changes, err := mem.Watch(ctx, cluster.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	key := cluster.UnitOnMachine{Machine: "m1", Unit: name}
	await := func(what string, ok func(cluster.Status) bool) {
		t.Helper()
		for !ok(snap.Statuses[key]) {
			c, open := <-changes
			if !open {
				t.Fatalf("%s: not seen; the last status is %+v", what, snap.Statuses[key])
			}
			snap = snap.With(c)
		}
	}
	did := func(want string) {
		t.Helper()
		select {
		case got := <-manager.did:
			if got != want {
				t.Fatalf("the manager was told to %s, want %s", got, want)
			}
		case <-ctx.Done():
			t.Fatalf("the manager was not told to %s", want)
		}
	}
	content := "[Service]\nExecStart=/bin/sleep 1000\n"
	unit := cluster.Unit{Name: name, Content: content, Hash: "1", Desired: units.Loaded, Generation: 1}
	if _, err := mem.PutUnits(ctx, []cluster.Unit{unit}); err != nil {
		t.Fatal(err)
	}
	taken := cluster.Assignment{Machine: "m1", Unit: name, Content: content, Hash: "1", Desired: units.Loaded, Generation: 1, Epoch: 1, TakeOver: true}
	assign := func(from, to *cluster.Assignment) {
		t.Helper()
		if _, errs, err := mem.Apply(ctx, leader.Term, []cluster.Move{{Unit: name, From: from, To: to, Generation: 1}}, cluster.Findings{}); err != nil || errs[0] != nil {
			t.Fatal(err, errs)
		}
	}
	assign(nil, &taken)

	end := begin()
	did("load " + name)
	await("taken over", func(st cluster.Status) bool { return st.Generation == 1 && st.Load == "loaded" })
	released := taken
	released.TakeOver, released.Release, released.Generation = false, true, 2
	assign(&taken, &released)
	did("release " + name)
	given := func(st cluster.Status) bool {
		return st.Released == "/host/"+name && st.Generation == 2 && st.Error == ""
	}
	await("given to the host", given)
	end()
	end = begin()
	end()
	await("given to the host, by the next daemon's word", given)
	if err := os.Remove(filepath.Join(dir, "notes.json")); err != nil {
		t.Fatal(err)
	}
	if len(manager.did) > 0 {
		t.Errorf("the next daemon did: %s", <-manager.did)
	}
	end = begin()
	did("refuse " + name)
	await("the host's own, without a note", func(st cluster.Status) bool { return st.Released == "the host's own file" && st.Generation == 2 })
	called := released
	called.Release, called.Generation = false, 3
	assign(&released, &called)
	did("refuse " + name)
	await("the release called off too late", func(st cluster.Status) bool { return st.Generation == 3 && st.Error != "" && st.Released == "" })
	end()
}
