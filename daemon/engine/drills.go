package engine

import (
	"time"

	"fleettop/cluster"
)

// drillEchoes is how long after a drill's end its machine's events are counted among it.
const drillEchoes = 5 * time.Second

// drilled is the last drill of a machine.
type drilled struct {
	id   string
	over time.Time // seen to be over; zero before
}

// seeDrills takes note of the drills that a snapshot has.
func (t *term) seeDrills(snap *cluster.Snapshot, now time.Time) {
	for id, m := range snap.Machines {
		switch d := t.drills[id]; {
		case m.Drill.Out():
			t.drills[id] = drilled{id: m.Drill.ID}
		case d.id != "" && d.over.IsZero():
			d.over = now
			t.drills[id] = d
		}
	}
}

// ofDrill marks an event that a drill led to, so that no operator takes it for a failure.
func (t *term) ofDrill(e cluster.Event) cluster.Event {
	for _, machine := range []string{e.From, e.Machine} {
		d := t.drills[machine]
		if d.id == "" || !d.over.IsZero() && e.Time.Sub(d.over) > drillEchoes || e.Kind == cluster.EventLeader {
			continue
		}
		e.Drill, e.Text = d.id, "drill: "+e.Text
		break
	}
	return e
}
