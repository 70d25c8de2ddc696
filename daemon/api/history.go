package api

// StatsHistory is what a machine, or one unit on it, used during the last hour, in equal
// intervals. CPU and Memory are equally long, the oldest first.
type StatsHistory struct {
	Machine     string    `json:"machine"`
	Unit        string    `json:"unit,omitempty"`
	Every       float64   `json:"every"`       // seconds from one value to the next
	Ago         float64   `json:"ago"`         // seconds since the last value
	CPUs        int       `json:"cpus"`        // cores the machine has
	MemoryTotal int64     `json:"memoryTotal"` // bytes the machine has
	CPU         []float64 `json:"cpu"`         // cores in use on average; negative where nothing was measured
	Memory      []int64   `json:"memory"`      // bytes in use at the end of the interval
}

// HistoryList is the reply to GET /v1/stats/history.
type HistoryList struct {
	Series []StatsHistory `json:"series"` // by machine
}

// ProcessesMost is how many processes of a unit are told.
const ProcessesMost = 64

// ProcessList is the reply to GET /v1/units/{name}/processes.
type ProcessList struct {
	Machines []UnitProcesses `json:"machines"` // by ID
}

// UnitProcesses are the processes of a unit on one machine.
type UnitProcesses struct {
	Machine   string    `json:"machine"`
	Error     string    `json:"error,omitempty"` // why they aren't known; then nothing else is set
	Group     string    `json:"group,omitempty"` // the unit's control group; empty where there is none
	Main      int       `json:"main,omitempty"`  // PID of the main process
	Processes []Process `json:"processes,omitempty"`
	More      int       `json:"more,omitempty"` // processes beyond ProcessesMost
}

// Process is a process of a unit.
type Process struct {
	PID     int     `json:"pid"`
	Parent  int     `json:"parent"`
	Command string  `json:"command"` // its command line, cut after some length
	Age     float64 `json:"age"`     // seconds since it was started
	CPU     float64 `json:"cpu"`     // seconds of CPU time used so far
	Memory  int64   `json:"memory"`  // bytes resident
}
