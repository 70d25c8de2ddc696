package tui

import (
	"strings"
	"testing"
	"time"

	"fleettop/daemon/api"
	"fleettop/tui/tuitest"
)

// hourOf is a history that rises, with a gap in its middle.
func hourOf(machine, unit string, top float64) api.StatsHistory {
	h := api.StatsHistory{Machine: machine, Unit: unit, Every: 30, CPUs: 4, MemoryTotal: 8 << 30}
	for i := range 120 {
		cpu := top * float64(i+1) / 120
		if i >= 60 && i < 70 {
			cpu = -1
		}
		h.CPU, h.Memory = append(h.CPU, cpu), append(h.Memory, int64(i)<<20)
	}
	return h
}

func inside(b *bench) {
	id := tuitest.MachineID(3)
	b.client.mu.Lock()
	defer b.client.mu.Unlock()
	b.client.history = []api.StatsHistory{hourOf(id, "", 4), hourOf(id, "web@3.service", 0.5)}
	b.client.processes = []api.UnitProcesses{{Machine: id, Group: "/system.slice/system-web.slice/web@3.service", Main: 4711,
		Processes: []api.Process{{PID: 4711, Parent: 1, Command: "/usr/bin/web --port 80", Age: 3700, CPU: 12.5, Memory: 43 << 20},
			{PID: 4712, Parent: 4711, Command: "worker \x1b[31m", Age: 60, CPU: 0.02, Memory: 2 << 20}}, More: 7}}
	b.client.content = "[Unit]\nAfter=network-online.target\nRequires=web@1.service\n[Service]\nExecStart=/usr/bin/web\n[Install]\nWantedBy=multi-user.target\n"
}

// TestInsideOfAUnit: its detail has the last hour, its processes and its control group, and what its file depends on.
func TestInsideOfAUnit(t *testing.T) {
	b := newBench(t, 120, 60, false, true, calm()...)
	inside(b)
	b.press("2", "/", "'@3", "enter", "enter")
	b.shows("Last hour")
	b.shows("▁▁▁▁")
	b.shows("peak 50%")
	b.shows("Processes on n3")
	b.shows("cgroup /system.slice/system-web.slice/web@3.service")
	b.shows("4711")
	b.shows("/usr/bin/web --port 80")
	b.shows("worker ^[[31m")
	b.shows("… 7 more")
	b.shows("Dependencies in its file")
	b.shows("starts with it ● web@1.service active n1")
	b.shows("after          network-online.target")
	b.shows("wanted by      multi-user.target")

	// What the daemon can't tell any more, this console may still have seen.
	b.client.mu.Lock()
	b.client.history, b.client.processes = nil, []api.UnitProcesses{{Machine: tuitest.MachineID(3), Error: "it did not answer in time"}}
	b.client.mu.Unlock()
	b.clock = b.clock.Add(31 * time.Second)
	b.send(b.tickNow())
	b.shows("not known: it did not answer in time")
	b.shows("Last hour")
}

// TestLastHourOfAMachine stands above its units, by the console's own samples where no daemon has any.
func TestLastHourOfAMachine(t *testing.T) {
	b := newBench(t, 100, 30, false, true, calm()...)
	b.press("3", "j", "enter")
	b.shows("What it used during the last hour isn't known yet.")
	use := func() {
		b.reducer.PutStats(api.Stats{Machine: tuitest.MachineID(3), CPU: 1, CPUs: 4, Memory: 2 << 30, MemoryTotal: 8 << 30})
		b.send(snapshotMsg{b.reducer.Snapshot(b.clock)})
	}
	for range 6 {
		use()
		b.clock = b.clock.Add(time.Minute)
	}
	b.shows("now 100%, peak 100%")
	b.shows("now 2.0G, peak 2.0G")
	inside(b)
	b.send(b.tickNow())
	b.shows("peak 39")
	b.press("esc")
	b.hides("peak")
	if got := strings.Count(b.View(), "\n"); got != 29 {
		t.Errorf("the screen has %d lines", got+1)
	}
}
