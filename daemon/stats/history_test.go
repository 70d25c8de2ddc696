package stats

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"fleettop/units"
)

// steps is a history that was given a reading every half minute: CPU by unit, in cores.
func steps(h *history, from time.Time, n int, cores map[string]float64) time.Time {
	for i := range n {
		at := from.Add(time.Duration(i) * historyEvery)
		spent := at.Sub(time.Unix(0, 0))
		r := reading{at: at, host: hostUse{busy: spent / 2, cpus: 4, memory: 1 << 30, memoryTotal: 8 << 30}, units: map[string]use{}}
		for name, c := range cores {
			r.units[name] = use{cpu: time.Duration(c * float64(spent)), memory: 10 << 20}
		}
		h.note(r)
	}
	return from.Add(time.Duration(n) * historyEvery)
}

func TestHistory(t *testing.T) {
	var h history
	start := time.Now().Add(-4 * time.Hour)
	if _, ok := h.of("m", ""); ok {
		t.Error("there is a history before there are two readings")
	}
	at := steps(&h, start, 11, map[string]float64{"a.service": 0.25})
	m, ok := h.of("m", "")
	if !ok || len(m.CPU) != 10 || len(m.Memory) != 10 || m.Every != 30 || m.CPUs != 4 || m.MemoryTotal != 8<<30 ||
		m.CPU[9] < 0.49 || m.CPU[9] > 0.51 || m.Memory[9] != 1<<30 {
		t.Errorf("%+v", m)
	}
	u, ok := h.of("m", "a.service")
	if !ok || u.Unit != "a.service" || len(u.CPU) != 10 || u.CPU[9] < 0.24 || u.CPU[9] > 0.26 || u.Memory[0] != 10<<20 {
		t.Errorf("%+v", u)
	}
	if _, ok := h.of("m", "b.service"); ok {
		t.Error("a unit that isn't there has a history")
	}

	// For two minutes nothing was measured, and then another unit runs, too.
	at = steps(&h, at.Add(2*time.Minute), 2, map[string]float64{"a.service": 0.25, "b.service": 1})
	u, _ = h.of("m", "a.service")
	gaps := 0
	for _, cpu := range u.CPU {
		if cpu < 0 {
			gaps++
		}
	}
	if gaps != 4 || len(u.CPU) != 16 {
		t.Errorf("%d gaps in %v", gaps, u.CPU)
	}
	if b, _ := h.of("m", "b.service"); len(b.CPU) != 2 || b.CPU[1] < 0.99 {
		t.Errorf("the other unit: %v", b.CPU)
	}

	// It has an hour at most, the newest at the end; a unit that is gone for that long is forgotten.
	steps(&h, at, historyPoints, map[string]float64{"b.service": 0.5})
	b, _ := h.of("m", "b.service")
	if len(b.CPU) != historyPoints || b.CPU[len(b.CPU)-1] < 0.49 || b.CPU[len(b.CPU)-1] > 0.51 || !slices.IsSortedFunc(b.CPU[1:],
		func(x, y float64) int { return int(100*y) - int(100*x) }) {
		t.Errorf("%v", b.CPU)
	}
	if _, ok := h.of("m", "a.service"); ok {
		t.Error("a unit that is gone for an hour has a history")
	}
}

// TestHistoryIsBounded: of a thousand units and more it takes no more than 2 MiB.
func TestHistoryIsBounded(t *testing.T) {
	if got := historySize(historyUnits + 100); got > 2<<20 {
		t.Errorf("%d bytes", got)
	}
}

// historySize is how many bytes the full history of some units takes.
func historySize(n int) uint64 {
	cores := map[string]float64{}
	for i := range n {
		cores[fmt.Sprintf("web@%d.service", i)] = 0.1
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	h := new(history)
	steps(h, time.Unix(0, 0), historyPoints+10, cores)
	h.last = reading{} // the counters are not what is kept
	runtime.GC()
	runtime.ReadMemStats(&after)
	if len(h.units) > historyUnits {
		return 1 << 60
	}
	runtime.KeepAlive(cores)
	return after.HeapAlloc - min(after.HeapAlloc, before.HeapAlloc)
}

// BenchmarkHistory notes a reading of 1,000 units, and says how many bytes their history takes.
func BenchmarkHistory(b *testing.B) {
	size := historySize(historyUnits)
	cores := map[string]float64{}
	for i := range historyUnits {
		cores[fmt.Sprintf("web@%d.service", i)] = 0.1
	}
	h, at := new(history), time.Unix(0, 0)
	for b.Loop() {
		at = steps(h, at, 1, cores)
	}
	b.ReportMetric(float64(size)/(1<<20), "MiB")
}

// TestProcessesOfAUnit: those of its group, and without a group those that descend from its main process.
func TestProcessesOfAUnit(t *testing.T) {
	const group = "system.slice/web.service"
	files := map[string]string{"10/stat": procStat(10, 1, 10, 100, 5), "11/stat": procStat(11, 10, 10, 50, 3),
		"12/stat": procStat(12, 1, 12, 50, 3), "10/cmdline": "/bin/web\x00--port\x0080\x00", "11/cmdline": "", "11/comm": "worker\n",
		"uptime": "100.00 1.0\n"}
	for name, tree1 := range map[string]map[string]string{"with a group": {"cgroup.procs": "", group + "/cgroup.procs": "11\n10\n"}, "without": nil} {
		h := host{proc: tree(t, files), cgroups: tree(t, tree1)}
		got := h.processesOf(units.Status{Name: "web.service", Active: "active", PID: 10}, "m")
		want := ""
		if tree1 != nil {
			want = "/" + group
		}
		if got.Group != want || got.Main != 10 || len(got.Processes) != 2 {
			t.Fatalf("%s: %+v", name, got)
		}
		p, child := got.Processes[0], got.Processes[1]
		if p.PID != 10 || p.Command != "/bin/web --port 80" || p.CPU != 1 || p.Memory != 5*int64(os.Getpagesize()) || p.Age != 99.95 {
			t.Errorf("%s: %+v", name, p)
		}
		if child.PID != 11 || child.Parent != 10 || child.Command != "[worker]" {
			t.Errorf("%s: %+v", name, child)
		}
	}
	if got := (host{proc: t.TempDir(), cgroups: t.TempDir()}).processesOf(units.Status{Name: "web.service"}, "m"); len(got.Processes) > 0 || got.Machine != "m" {
		t.Errorf("a unit that doesn't run: %+v", got)
	}
}

// TestRealProcesses reads this machine's own /proc.
func TestRealProcesses(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "sleep 1000 & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}()
	c := NewCollector("m", nil)
	c.host.cgroups = filepath.Join(t.TempDir(), "none")
	deadline := time.Now().Add(20 * time.Second)
	for {
		got := c.host.processesOf(units.Status{Name: "sleeper.service", PID: cmd.Process.Pid}, "m")
		if len(got.Processes) == 2 && got.Processes[1].Command == "sleep 1000" && got.Processes[0].Age < 60 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", got)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
