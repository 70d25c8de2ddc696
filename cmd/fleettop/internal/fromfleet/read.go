package fromfleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/fleetv1"
	"fleettop/units"
)

// Read asks a fleet by its API, at unix:///run/fleet.sock or http://host:port.
func Read(ctx context.Context, endpoint string) (f Fleet, err error) {
	c, err := fleetv1.Dial(endpoint)
	if err != nil {
		return f, err
	}
	defer c.Close()
	if f.Units, err = c.Units(ctx); err == nil {
		if f.States, err = c.States(ctx); err == nil {
			f.Machines, err = c.Machines(ctx)
		}
	}
	if e := (*fleetv1.Error)(nil); errors.As(err, &e) && e.Code == http.StatusServiceUnavailable {
		return f, fmt.Errorf("fleet at %s: its etcd doesn't answer; it has to run until the units are taken over", endpoint)
	}
	if err != nil {
		return f, fmt.Errorf("fleet at %s can't be read: %w", endpoint, err)
	}
	return f, nil
}

// OfFiles is a fleet that has units of files where machines run them, or
// submitted where none does.
func OfFiles(files []api.File, c Cluster) (Fleet, error) {
	var f Fleet
	for _, file := range files {
		parsed, err := units.ParseFile(file.Content)
		if err != nil {
			return f, fmt.Errorf("%s: %w", file.Name, err)
		}
		u := fleetv1.Unit{Name: file.Name, DesiredState: units.Inactive, Options: fleetv1.OptionsOf(parsed)}
		name, err := units.ParseName(file.Name)
		if err != nil || name.IsTemplate() {
			f.Units = append(f.Units, u)
			continue
		}
		var on []string
		for _, m := range c.Machines {
			if m.Health.State == cluster.Down { // its units ended with it
				continue
			}
			if m.Health.State != cluster.Up {
				return f, fmt.Errorf("%s is %s, so it isn't known what runs there; adopt when it is up, or `fleettop forget` it",
					m.Label(), m.Health.State)
			}
			host, err := c.HostUnit(m.ID, file.Name)
			refusal := new(api.Error)
			switch {
			case errors.As(err, &refusal) && refusal.Code == api.CodeNotFound:
				continue
			case err != nil:
				return f, err
			}
			on = append(on, m.Label())
			f.States = append(f.States, fleetv1.UnitState{Name: file.Name, MachineID: m.ID})
			running := host.Running(m.Label()) == nil
			if u.MachineID == "" || running && u.DesiredState != units.Launched {
				u.MachineID, u.DesiredState = m.ID, units.Loaded
			}
			if running {
				u.DesiredState = units.Launched
			}
		}
		need, err := parsed.Requirements(name)
		if err == nil && !need.Global && len(on) > 1 {
			return f, fmt.Errorf("%s is on %s and %s; remove it from all but one, or give it Global=true", file.Name, on[0],
				on[1])
		}
		f.Units = append(f.Units, u)
	}
	return f, nil
}
