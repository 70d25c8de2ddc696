package agent

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
	"fleettop/units"
	"fleettop/units/process"
)

// hostManager has a host to release units to. It counts the loads.
type hostManager struct {
	units.Manager
	loads chan string
}

func (m *hostManager) Load(ctx context.Context, files []units.UnitFile) (map[string]error, error) {
	for _, f := range files {
		m.loads <- f.Name
	}
	return m.Manager.Load(ctx, files)
}

func (m *hostManager) HostUnit(context.Context, string) (units.HostUnit, error) {
	return units.HostUnit{}, units.ErrNotLoaded
}

func (m *hostManager) Release(ctx context.Context, name string) (string, error) {
	if _, err := m.Unload(ctx, []string{name}); err != nil {
		return "", err
	}
	return "/host/" + name, nil
}

// TestReleasedStaysReleased: a unit that was given to the host isn't loaded
// again before its assignment changes.
func TestReleasedStaysReleased(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	processes, err := process.New(process.Options{Dir: filepath.Join(dir, "run"), LogDir: filepath.Join(dir, "log"), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer processes.Close()
	manager := &hostManager{processes, make(chan string, 10)}
	mem := memstore.New().Open()
	defer mem.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	a := New(Config{Machine: "m1", Name: "n1", Store: mem, Manager: manager, NotesPath: filepath.Join(dir, "notes.json"), Log: log})
	runCtx, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- a.Run(runCtx) }()
	s, err := mem.Register(ctx, cluster.Run{Machine: "m1", ID: "r1", Address: "a"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	a.SetSession(ctx, s)
	leader, err := mem.Campaign(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	content := "[Service]\nExecStart=/bin/sleep 1000\n"
	unit := cluster.Unit{Name: "web.service", Content: content, Hash: "1", Desired: units.Loaded, Generation: 1}
	if _, err := mem.PutUnits(ctx, []cluster.Unit{unit}); err != nil {
		t.Fatal(err)
	}
	to := cluster.Assignment{Machine: "m1", Unit: unit.Name, Content: content, Hash: "1", Desired: units.Loaded, Generation: 1, Epoch: 1}
	if _, _, err := mem.Apply(ctx, leader.Term, []cluster.Move{{Unit: unit.Name, To: &to, Generation: 1}}, cluster.Findings{}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Release(ctx, "other.service"); err != nil && !errors.Is(err, units.ErrNotLoaded) {
		t.Error(err)
	}
	<-manager.loads
	var path string
	for { // the load may still be under way
		if path, err = a.Release(ctx, unit.Name); err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if path != "/host/web.service" {
		t.Errorf("released to %q", path)
	}
	snap, changes, err := mem.Watch(ctx, cluster.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	key := cluster.UnitOnMachine{Machine: "m1", Unit: unit.Name}
	for !strings.HasPrefix(snap.Statuses[key].Error, "released") {
		c, ok := <-changes
		if !ok {
			t.Fatal("the agent doesn't report that the unit was released")
		}
		snap = snap.With(c)
	}
	if len(manager.loads) > 0 {
		t.Errorf("%s was loaded again", <-manager.loads)
	}
	next := to
	next.Restart = 2
	if _, _, err := mem.Apply(ctx, leader.Term, []cluster.Move{{Unit: unit.Name, From: &to, To: &next, Generation: 1}}, cluster.Findings{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-manager.loads:
	case <-ctx.Done():
		t.Error("a new assignment is not carried out")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
