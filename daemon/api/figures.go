package api

import "time"

// Stats is what one machine uses, about every two seconds while somebody looks.
type Stats struct {
	Time        time.Time   `json:"time"`
	Machine     string      `json:"machine"`
	CPU         float64     `json:"cpu"`         // cores in use
	CPUs        int         `json:"cpus"`        // cores there are
	Memory      int64       `json:"memory"`      // bytes in use
	MemoryTotal int64       `json:"memoryTotal"` // bytes there are
	Load1       float64     `json:"load1"`       // load average of a minute
	Uptime      float64     `json:"uptime"`      // seconds since the machine was booted
	Units       []UnitStats `json:"units,omitempty"`
}

// UnitStats is what one unit uses on the machine.
type UnitStats struct {
	Name   string  `json:"name"`
	CPU    float64 `json:"cpu"`    // cores
	Memory int64   `json:"memory"` // bytes
}
