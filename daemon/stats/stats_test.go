package stats

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"fleettop/units"
)

// tree writes files below a directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// procStat is a line of /proc/PID/stat.
func procStat(pid, parent, session int, ticks, pages int) string {
	return fmt.Sprintf("%d (a (b) c) S %d 1 %d 0 -1 4194560 1 0 0 0 %d 0 0 0 20 0 1 0 5 1000 %d 18446744073709551615 0 0 0 0\n", pid, parent, session, ticks, pages)
}

// TestUnitsByHost: cgroups of every kind of host, and none at all.
func TestUnitsByHost(t *testing.T) {
	page := int64(os.Getpagesize())
	procs := map[string]string{
		"10/stat": procStat(10, 1, 10, 100, 5), "11/stat": procStat(11, 10, 10, 50, 3), "12/stat": procStat(12, 11, 12, 20,
			2),
		"13/stat": procStat(13, 1, 10, 8, 1), "20/stat": procStat(20, 1, 20, 1000,
			100), "self/stat": "x", "30/stat": "broken",
	}
	const group = "system.slice/system-web.slice/web@1.service/"
	for name, c := range map[string]struct {
		groups map[string]string
		cpu    time.Duration
		memory int64
		summed bool
	}{
		"unified": {map[string]string{"cgroup.procs": "", group + "cpu.stat": "usage_usec 7000\nuser_usec 1\n", group +
			"memory.current": "4096\n", group + "cgroup.procs": "10\n"}, 7 * time.Millisecond, 4096, false},
		"hybrid": {map[string]string{"unified/cgroup.procs": "", "unified/" + group + "cpu.stat": "usage_usec 9000\n",
			"unified/" + group + "cgroup.procs":         "10\n11\n",
			"memory/" + group + "memory.usage_in_bytes": "8192\n"}, 9 * time.Millisecond, 8192, false},
		"hybrid without memory": {map[string]string{"unified/cgroup.procs": "", "unified/" + group +
			"cpu.stat": "usage_usec 9000\n", "unified/" + group + "cgroup.procs": "10\n",
			"unified/" + group + "deeper/cgroup.procs": "11\n"}, 9 * time.Millisecond, 8 * page, false},
		"v1": {map[string]string{"systemd/cgroup.procs": "", "systemd/" + group + "cgroup.procs": "10\n",
			"cpu,cpuacct/" + group + "cpuacct.usage": "5000000\n", "memory/" + group + "memory.usage_in_bytes": "1\n"},
			5 * time.Millisecond, 1, false},
		"v1, no figures": {map[string]string{"systemd/cgroup.procs": "", "systemd/" + group + "cgroup.procs": "10\n11\n"},
			1500 * time.Millisecond, 8 * page, true},
		"no cgroups": {nil, 1780 * time.Millisecond, 11 * page, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := host{proc: tree(t, procs), cgroups: tree(t, c.groups)}
			list := []units.Status{{Name: "web@1.service", Active: "active", PID: 10},
				{Name: "gone.service", Active: "active", PID: 99},
				{Name: "off.service", Active: "inactive"}, {Name: "some.target", Active: "active"}}
			got := h.unitUses(list)
			u, ok := got["web@1.service"]
			if !ok || (u.byPID != nil) != c.summed || u.memory != c.memory {
				t.Fatalf("%+v", got)
			}
			cpu := u.cpu
			for _, d := range u.byPID {
				cpu += d
			}
			if cpu != c.cpu {
				t.Errorf("%v, not %v", cpu, c.cpu)
			}
			if _, ok := got["off.service"]; ok {
				t.Error("a unit that doesn't run uses something")
			}
		})
	}
}

// TestUnitsOfTheirOwnSystemd: the system's systemd and those of users may have
// units of the same name.
func TestUnitsOfTheirOwnSystemd(t *testing.T) {
	files := map[string]string{"cgroup.procs": ""}
	for group, bytes := range map[string]string{"system.slice": "1",
		"user.slice/user-7.slice/user@7.service/app.slice": "7", "user.slice/user-8.slice/user@8.service/app.slice": "8"} {
		files[group+"/web.service/memory.current"] = bytes
		files[group+"/web.service/cpu.stat"] = "usage_usec 1\n"
	}
	cgroups := tree(t, files)
	for user, want := range map[string]int64{"": 1, "user@7.service": 7, "user@8.service": 8} {
		h := host{proc: t.TempDir(), cgroups: cgroups, user: user}
		if got := h.unitUses([]units.Status{{Name: "web.service", Active: "active"}}); got["web.service"].memory != want {
			t.Errorf("of %q: %+v", user, got)
		}
	}
}

func TestHostUse(t *testing.T) {
	h := host{proc: tree(t, map[string]string{
		"stat":    "cpu  100 10 20 5000 300 5 6 7 0 0\ncpu0 1 1 1 1\ncpu1 1 1 1 1\nintr 5\n",
		"meminfo": "MemTotal:  1000 kB\nMemFree: 100 kB\nMemAvailable:   400 kB\n", "loadavg": "0.25 0.5 1 1/2 3\n",
		"uptime": "12.5 20\n",
	})}
	u, err := h.use()
	if err != nil || u.busy != 1480*time.Millisecond || u.cpus != 2 || u.memory != 600<<10 || u.memoryTotal != 1000<<10 ||
		u.load1 != 0.25 || u.uptime != 12.5 {
		t.Fatalf("%+v, %v", u, err)
	}
	for _, stat := range []string{"", "cpu 1 2\n", "cpu  a b c d e f g h\ncpu0 1\n"} {
		h.proc = tree(t, map[string]string{"stat": stat, "meminfo": ""})
		if u, err := h.use(); err == nil {
			t.Errorf("%q is %+v", stat, u)
		}
	}
}

func TestBetween(t *testing.T) {
	at := time.Unix(100, 0)
	a := reading{at: at, host: hostUse{busy: time.Second}, units: map[string]use{"a": {cpu: time.Second},
		"b": {byPID: map[int]time.Duration{1: time.Second, 2: time.Second}}, "d": {cpu: 9 * time.Second}}}
	b := reading{at: at.Add(2 * time.Second), host: hostUse{busy: 4 * time.Second, cpus: 2},
		units: map[string]use{"a": {cpu: 2 * time.Second, memory: 5},
			"b": {byPID: map[int]time.Duration{1: 2 * time.Second,
				3: time.Second}}, "c": {cpu: time.Hour}, "d": {cpu: time.Second}}}
	s := between("m", a, b)
	if s.CPU != 1.5 || s.CPUs != 2 || len(s.Units) != 4 {
		t.Fatalf("%+v", s)
	}
	for i, want := range []float64{0.5, 1, 0, 0} { // a unit that is new, or began anew, has used nothing yet
		if s.Units[i].CPU != want {
			t.Errorf("%+v, not %v", s.Units[i], want)
		}
	}
}

// TestRealProcess measures a process that takes a core.
func TestRealProcess(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "while :; do :; done")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	c := NewCollector("m", func() []units.Status {
		return []units.Status{{Name: "busy-unit-under-test.service", Active: "active", PID: cmd.Process.Pid}}
	})
	deadline := time.Now().Add(20 * time.Second)
	for {
		s, err := c.Sample()
		if err != nil {
			t.Fatal(err)
		}
		if s.MemoryTotal <= 0 || s.Memory <= 0 || s.CPUs < 1 || s.Uptime <= 0 || len(s.Units) != 1 || s.Units[0].Memory <= 0 {
			t.Fatalf("%+v", s)
		}
		if s.Units[0].CPU > 0.05 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is said to use %+v", s.Units)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
