package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"fleettop/units"
)

const (
	killLimit  = 10 * time.Second
	prepareFor = 30 * time.Second // systemd reads all files anew
)

// killed follows a unit's own file: to stop the unit is to kill all of it at once
// then, and it isn't started again. What it set up beside its processes goes with
// the power, too: so ExecStopPost= stays, and the ExecStop= of a unit that has no
// process while it is active.
const killed = "\n\n# By fleettop, for a drill.\n[Service]\nRestart=no\nKillMode=control-group\nKillSignal=SIGKILL\n" +
	"SendSIGKILL=yes\nTimeoutStopSec=3s\n"

const (
	noStop  = "ExecStop=\n"
	mayStop = "[Unit]\nRefuseManualStop=no\n"
)

// lethal is the file of a unit by which a stop kills it.
func lethal(name, content string) string {
	n, err := units.ParseName(name)
	if err != nil {
		return content
	}
	file, err := units.ParseFile(content)
	if err != nil || n.Type() != "service" && n.Type() != "container" {
		return content // it has no processes
	}
	end := killed
	if !file.RemainsActive(n) {
		end += noStop
	}
	if strings.Contains(content, "RefuseManualStop") {
		end += mayStop
	}
	return content + end
}

// Unit is a unit of this machine, as it is assigned.
type Unit struct{ Name, Content string }

// arm makes a stop of each unit kill it. Nothing is stopped yet.
func arm(ctx context.Context, m units.Manager, list []Unit) error {
	ctx, cancel := context.WithTimeout(ctx, prepareFor)
	defer cancel()
	files := make([]units.UnitFile, 0, len(list))
	for _, u := range list {
		content := lethal(u.Name, u.Content)
		parsed, err := units.ParseFile(content)
		if err != nil {
			return fmt.Errorf("the file of %s: %w", u.Name, err)
		}
		files = append(files, units.UnitFile{Name: u.Name, Content: content, Hash: parsed.Hash()})
	}
	errs, err := m.Load(ctx, files)
	return firstOf(errs, err)
}

// kill ends all units at the same time, and returns when none runs.
func kill(ctx context.Context, m units.Manager, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, killLimit)
	defer cancel()
	results := make([]error, len(names))
	var stopping sync.WaitGroup
	for i, name := range names {
		stopping.Go(func() {
			if err := m.Stop(ctx, name); err != nil && !errors.Is(err, units.ErrNotLoaded) {
				results[i] = fmt.Errorf("%s could not be killed: %w", name, err)
			}
		})
	}
	stopping.Wait()
	return errors.Join(results...)
}

// forget takes all units from the manager, as a boot would.
func forget(ctx context.Context, m units.Manager) error {
	ctx, cancel := context.WithTimeout(ctx, prepareFor)
	defer cancel()
	held, err := heldBy(ctx, m)
	if err != nil || len(held) == 0 {
		return err
	}
	errs, err := m.Unload(ctx, held)
	return firstOf(errs, err)
}

// heldBy are the names of the units that a manager holds, sorted.
func heldBy(ctx context.Context, m units.Manager) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	list, _, err := m.Watch(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(list))
	for _, s := range list {
		if s.Load != "not-found" {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// firstOf is what failed as a whole, or of a unit.
func firstOf(errs map[string]error, err error) error {
	if err != nil {
		return err
	}
	for _, e := range errs {
		return e
	}
	return nil
}
