package cli

import "fleettop/daemon/api"

// record is a machine's, under a name that doesn't collide with its ID's.
type record api.Machine

// machineRow is a machine for programs, by the names that unit rows have for it, too.
type machineRow struct {
	Machine     string `json:"machine"`
	MachineName string `json:"machineName"`
	record
	Units *int       `json:"units,omitempty"`
	Store *api.Store `json:"store,omitempty"` // where this is not current

	// These hide the record's own names for the two above.
	ID   *struct{} `json:"id,omitempty"`
	Name *struct{} `json:"name,omitempty"`
}

func newMachineRow(m api.Machine) machineRow {
	if m.Metadata == nil {
		m.Metadata = map[string]string{}
	}
	return machineRow{Machine: m.ID, MachineName: m.Name, record: record(m)}
}

func machineRows(list *api.MachineList) []machineRow {
	rows := make([]machineRow, 0, len(list.Machines))
	for _, m := range list.Machines {
		row := newMachineRow(m.Machine)
		row.Units, row.Store = &m.Units, stale(list.Store)
		rows = append(rows, row)
	}
	return rows
}
