package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"fleettop/cluster"
	"fleettop/units"
)

// UnitTable is the reply to GET /v1/units?table=true: what tables are made of,
// and no more. A thousand units are listed often, and most of what that takes
// would be JSON; so what follows the first line, which is the table's JSON, is
// a line for each row: UnitRow's fields in their order, between tabs, with
// \t, \n and \\ for a tab, a line end and a backslash within them, and 1 for true.
type UnitTable struct {
	Revision int64        `json:"revision"`
	Store    Store        `json:"store"`
	Hold     string       `json:"hold,omitempty"` // cluster.Leader's
	Machines []MachineRef `json:"machines"`
	Rows     []UnitRow    `json:"-"` // by unit, then machine
}

// UnitRow is a unit on one of its machines, or on none.
type UnitRow struct {
	Unit         string             `json:"unit"`
	Description  string             `json:"description,omitempty"`
	Hash         string             `json:"hash"`                   // of the file submitted
	Running      string             `json:"running,omitempty"`      // of the file the machine has, where that is another
	Template     string             `json:"templateHash,omitempty"` // of its template's content now, where it keeps an earlier one
	Desired      units.DesiredState `json:"desired"`
	State        units.DesiredState `json:"state"`                  // fleet's current state, on all machines together
	FromTemplate bool               `json:"fromTemplate,omitempty"` // it has no file of its own
	Global       bool               `json:"global,omitempty"`
	Machine      string             `json:"machine,omitempty"`
	Leaving      bool               `json:"leaving,omitempty"` // it was taken away from there and is being stopped
	Load         string             `json:"load,omitempty"`
	Active       string             `json:"active,omitempty"`
	Sub          string             `json:"sub,omitempty"`
	Reason       string             `json:"reason,omitempty"` // for the machine, or for there being none
	Error        string             `json:"-"`
	// Lost is the machine's state where its units aren't taken to be running:
	// Active is unknown then, and Sub has was- before what was last known.
	Lost cluster.HealthState `json:"lost,omitempty"`
}

// What Active says of a unit on a machine that is lost, and of one that is
// wanted and on no machine; and what stands before the Sub that was last known.
const (
	ActiveUnknown  = "unknown"
	ActiveUnplaced = "unplaced"
	WasSub         = "was-"
)

// fields is how many fields a row has on the wire.
const fields = 17

func (r *UnitRow) wire() [fields]string {
	return [fields]string{r.Unit, r.Description, r.Hash, r.Running, string(r.Desired), string(r.State), truth(r.Global),
		r.Machine, truth(r.Leaving), r.Load, r.Active, r.Sub, r.Reason, r.Error, r.Template, truth(r.FromTemplate),
		string(r.Lost)}
}

func rowOf(f *[fields]string) UnitRow {
	return UnitRow{Unit: f[0], Description: f[1], Hash: f[2], Running: f[3], Desired: units.DesiredState(f[4]),
		State:  units.DesiredState(f[5]),
		Global: f[6] != "", Machine: f[7], Leaving: f[8] != "", Load: f[9], Active: f[10], Sub: f[11], Reason: f[12],
		Error: f[13], Template: f[14],
		FromTemplate: f[15] != "", Lost: cluster.HealthState(f[16])}
}

func truth(b bool) string {
	if b {
		return "1"
	}
	return ""
}

var (
	escaper   = strings.NewReplacer("\\", `\\`, "\t", `\t`, "\n", `\n`)
	unescaper = strings.NewReplacer(`\\`, "\\", `\t`, "\t", `\n`, "\n")
)

// Encode is the table as it is sent.
func (t *UnitTable) Encode() ([]byte, error) {
	head, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	b := bytes.NewBuffer(make([]byte, 0, len(head)+1+160*len(t.Rows)))
	b.Write(append(head, '\n'))
	for i := range t.Rows {
		for n, f := range t.Rows[i].wire() {
			if n > 0 {
				b.WriteByte('\t')
			}
			if strings.ContainsAny(f, "\\\t\n") {
				f = escaper.Replace(f)
			}
			b.WriteString(f)
		}
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}

// Decode reads what Encode wrote.
func (t *UnitTable) Decode(raw []byte) error {
	head, body, ok := bytes.Cut(raw, []byte{'\n'})
	if err := json.Unmarshal(head, t); err != nil {
		return err
	} else if !ok {
		return fmt.Errorf("the table ends within its first line")
	}
	t.Rows = make([]UnitRow, 0, bytes.Count(body, []byte{'\n'}))
	for line := range strings.Lines(string(body)) {
		rest, ok := strings.CutSuffix(line, "\n")
		if !ok {
			return fmt.Errorf("row %d of the table is cut off", len(t.Rows)+1)
		}
		var f [fields]string
		for n := range f {
			if f[n], rest, ok = strings.Cut(rest, "\t"); ok != (n < fields-1) {
				return fmt.Errorf("row %d of the table doesn't have %d fields", len(t.Rows)+1, fields)
			}
			if strings.IndexByte(f[n], '\\') >= 0 {
				f[n] = unescaper.Replace(f[n])
			}
		}
		t.Rows = append(t.Rows, rowOf(&f))
	}
	return nil
}
