package fleetv1

import "fleettop/units"

// Prefixes are the paths that the API is served under.
func Prefixes() []string { return []string{"/fleet/v1", "/v1-alpha"} }

// Unit is a unit file with what is wanted of it and what became of that.
type Unit struct {
	// CurrentState is left out for a global unit, which has one on each machine.
	CurrentState units.DesiredState `json:"currentState,omitempty"`
	DesiredState units.DesiredState `json:"desiredState,omitempty"`
	MachineID    string             `json:"machineID,omitempty"` // left out until the unit has a place
	Name         string             `json:"name,omitempty"`
	Options      []Option           `json:"options,omitempty"`
}

// Option is one setting of a unit file, with its value as it was written.
type Option struct {
	Name    string `json:"name"`
	Section string `json:"section"`
	Value   string `json:"value"`
}

// UnitState is systemd's states of a unit on a machine.
type UnitState struct {
	Hash               string `json:"hash,omitempty"`
	MachineID          string `json:"machineID,omitempty"`
	Name               string `json:"name,omitempty"`
	SystemdActiveState string `json:"systemdActiveState,omitempty"`
	SystemdLoadState   string `json:"systemdLoadState,omitempty"`
	SystemdSubState    string `json:"systemdSubState,omitempty"`
}

// Machine is a machine that is up.
type Machine struct {
	ID        string            `json:"id,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	PrimaryIP string            `json:"primaryIP,omitempty"`
}

// UnitPage is the reply to GET /units.
type UnitPage struct {
	NextPageToken string `json:"nextPageToken,omitempty"`
	Units         []Unit `json:"units,omitempty"`
}

// UnitStatePage is the reply to GET /state.
type UnitStatePage struct {
	NextPageToken string      `json:"nextPageToken,omitempty"`
	States        []UnitState `json:"states,omitempty"`
}

// MachinePage is the reply to GET /machines.
type MachinePage struct {
	Machines      []Machine `json:"machines,omitempty"`
	NextPageToken string    `json:"nextPageToken,omitempty"`
}

// MetadataOp is one change of PATCH /machines: Op is add, replace or remove, and Path is
// /ID/metadata/KEY.
type MetadataOp struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value string `json:"value"`
}

// ErrorBody is the body of every refusal.
type ErrorBody struct {
	Error Error `json:"error"`
}

// Error is a refusal. It is also the error that Client returns for one.
type Error struct {
	Code    int    `json:"code"` // the HTTP status
	Message string `json:"message"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// OptionsOf returns a file's settings as they are sent.
func OptionsOf(f *units.File) []Option {
	list := f.Written()
	out := make([]Option, len(list))
	for i, o := range list {
		out[i] = Option{Name: o.Name, Section: o.Section, Value: o.Value}
	}
	return out
}

// File returns the unit file that has the unit's options. Its error is a *units.FileError.
func (u *Unit) File() (*units.File, error) {
	list := make([]units.Option, len(u.Options))
	for i, o := range u.Options {
		list[i] = units.Option{Section: o.Section, Name: o.Name, Value: o.Value}
	}
	return units.FileFromOptions(list)
}
