package tui

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/journal"
	"fleettop/tui/tuitest"
	"fleettop/units"
)

var update = flag.Bool("update", false, "write the golden screens anew")

// calm is a cluster that is well, but for what is always there.
func calm() []*api.Line {
	first := tuitest.Cluster(3, 8)
	template := tuitest.Unit("web@.service")
	template.Desired = units.Inactive
	wide := tuitest.Unit("backup.service")
	wide.Description = "每晚备份 of everything"
	stuck := tuitest.Unit("gpu.service")
	first.Units = append(first.Units, template, wide, stuck)
	first.Assignments = append(first.Assignments, tuitest.On("backup.service", 2, 10))
	failed := tuitest.Runs("backup.service", 2, 10, "failed", "failed")
	failed.Result = "exit-code"
	first.Statuses = append(first.Statuses, failed)
	first.Unplaced = []api.Unplaced{{Unit: "gpu.service", Reason: "3 machines: 3 lack gpu=true"}}
	first.Machines[1].Name = "数据库-2"
	first.WhatIf[1].Strands, first.WhatIf[1].Units = 1, []string{"backup.service"}
	first.Events = []cluster.Event{
		tuitest.Event(1, 2*time.Hour, cluster.Event{Kind: cluster.EventLeader, Machine: tuitest.MachineID(1), Text: "n1 leads the cluster"}),
		tuitest.Event(2, time.Hour, cluster.Event{Kind: cluster.EventUnit, Unit: "web@3.service", Text: "started web@3.service", By: "root"}),
		tuitest.Event(3, time.Hour, cluster.Event{Kind: cluster.EventPlaced, Unit: "web@3.service", To: tuitest.MachineID(3), Text: "web@3.service placed on n3: fewest units (0) of 3 eligible machines"}),
		tuitest.Event(4, 10*time.Minute, cluster.Event{Kind: cluster.EventFailed, Unit: "backup.service", Machine: tuitest.MachineID(2), Text: "backup.service failed on 数据库-2: exit-code"}),
	}
	return []*api.Line{first}
}

// storm is a machine that died 0.8 s ago: one unit runs again, one is on its way.
func storm() []*api.Line {
	o := cluster.Outage{Detect: 510 * time.Millisecond, Decide: 20 * time.Millisecond, Start: 90 * time.Millisecond}
	return append(calm(), tuitest.Failed(3, 800*time.Millisecond), tuitest.Moved("web@3.service", 3, 1, 20, 250*time.Millisecond),
		tuitest.Moved("web@6.service", 3, 2, 20, 250*time.Millisecond), tuitest.Active("web@3.service", 3, 1, 20, 180*time.Millisecond, o))
}

// cutOff is three machines of which the third can't be asked, and is heard by gossip of the second only.
func cutOff() *api.Connectivity {
	c := &api.Connectivity{Asked: tuitest.MachineID(1), Took: 0.9}
	for i, name := range []string{"n1", "数据库-2", "n3"} {
		id := tuitest.MachineID(i + 1)
		c.Machines = append(c.Machines, api.MachineRef{ID: id, Name: name})
		v := api.Connections{Machine: id, Store: api.Answered, StoreTook: 0.003}
		for n := range 3 {
			if n != i {
				v.Contacts = append(v.Contacts, api.Contact{Machine: tuitest.MachineID(n + 1), Gossip: api.GossipAlive, GossipAge: 0.4,
					Probe: api.Answered, ProbeTook: 0.001, Session: true, SessionAge: 3700, API: api.Answered, APITook: 0.002})
			}
		}
		c.Views = append(c.Views, v)
	}
	c.Views[2] = api.Connections{Machine: tuitest.MachineID(3), Error: "it did not answer within 0.9 s"}
	for i, gossip := range []string{"failed", api.GossipAlive} {
		k := c.Views[i].Of(tuitest.MachineID(3))
		k.Gossip, k.GossipAge, k.Probe, k.ProbeTook, k.API, k.APITook, k.Session = gossip, 12, api.Silent, 0.4, api.Silent, 0.45, i == 1
	}
	c.Sentences = c.Diagnose()
	return c
}

func TestGoldenScreens(t *testing.T) {
	stats := func(b *bench) {
		for i := range 3 {
			for n := range 30 {
				b.reducer.PutStats(api.Stats{Machine: tuitest.MachineID(i + 1), CPU: 0.2 + float64((n*7+i*5)%17)/10, CPUs: 4, Memory: int64(i+1) << 30, MemoryTotal: 8 << 30,
					Load1: 0.42, Uptime: 86400 * 9, Units: []api.UnitStats{{Name: fmt.Sprintf("web@%d.service", i+1), CPU: 0.123, Memory: 43 << 20}}})
			}
		}
		b.send(snapshotMsg{b.reducer.Snapshot(b.clock)})
	}
	log := []journal.Entry{}
	for i := range 30 {
		log = append(log, journal.Entry{Time: tuitest.Noon.Add(time.Duration(i-40) * time.Second), Unit: "web@3.service", Machine: tuitest.MachineID(3), Priority: 6, Message: fmt.Sprintf("GET /things/%d 200 in %d ms", i, i*3%17)})
	}
	log[20].Priority, log[20].Message = 3, "connection to the database was lost: connect: connection refused; trying again with a longer pause"
	log = append(log, journal.Entry{Kind: journal.KindDivider, Time: tuitest.Noon.Add(-9 * time.Second), Text: "moved n3 → n1, 1.1 s"},
		journal.Entry{Time: tuitest.Noon.Add(-8 * time.Second), Unit: "web@3.service", Machine: tuitest.MachineID(1), Priority: 4, Message: "starting with a cold cache"})
	for name, c := range map[string]struct {
		lines []*api.Line
		keys  []string
	}{
		"overview":         {calm(), nil},
		"overview-failure": {storm(), nil},
		"units":            {calm(), []string{"2", "j", "j"}},
		"units-failure":    {storm(), []string{"2", "j", "j"}},
		"units-grouped":    {calm(), []string{"2", "t"}},
		"machines":         {calm(), []string{"3"}},
		"machines-failure": {storm(), []string{"3", "G"}},
		"timeline":         {append(storm(), tuitest.Summed(3, 2, 100*time.Millisecond, cluster.Outage{Detect: 710 * time.Millisecond, Start: 390 * time.Millisecond})), []string{"4"}},
		"detail":           {calm(), []string{"2", "/", "'@3", "enter", "enter"}},
		"logs":             {calm(), []string{"2", "/", "'@3", "enter", "l"}},
		"connectivity":     {storm(), []string{"w", "j"}},
		"past":             {storm(), []string{"["}},
		"past-units":       {storm(), []string{"2", "[", "["}},
		"help":             {calm(), []string{"?"}},
		"dialog":           {calm(), []string{"2", "*", "D"}},
		"command":          {calm(), []string{":", "'s"}},
	} {
		for _, size := range [][2]int{{40, 15}, {80, 24}, {120, 40}} {
			for _, colour := range []bool{true, false} {
				file := fmt.Sprintf("%s-%dx%d", name, size[0], size[1])
				if !colour {
					file += "-plain"
				}
				t.Run(file, func(t *testing.T) {
					b := newBench(t, size[0], size[1], colour, false, c.lines...)
					b.client.log, b.client.reach = log, cutOff()
					stats(b)
					b.press(c.keys...)
					if name == "logs" || name == "detail" && size[1] >= 16 {
						b.await("cold cache")
					}
					golden(t, file, b.View())
				})
			}
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got+"\n" != string(want) {
		t.Errorf("the screen is not as %s has it; look at it, and run the test with -update if it is right:\n%s", path, got)
	}
}
