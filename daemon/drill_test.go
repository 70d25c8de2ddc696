package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
)

// ownProcess is a daemon in a process of its own, which can execute itself anew.
type ownProcess struct {
	t   *testing.T
	cfg Config
	log *bytes.Buffer
	cmd *exec.Cmd
}

func (p *ownProcess) start() {
	p.t.Helper()
	raw, err := json.Marshal(ownConfig{p.cfg.MachineID, p.cfg.Name, p.cfg.StateDir, p.cfg.RunDir, p.cfg.KeyFile, p.cfg.Port,
		p.cfg.Join})
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command("/proc/self/exe")
	p.cmd.Env = append(os.Environ(), asDaemon+"="+string(raw), filtered+"=yes")
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.WaitDelay = time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *ownProcess) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// TestDrill takes one of three machines out: its units are killed and move, the
// one that can't has no place, and the machine comes back by itself with its vote,
// though its daemon is killed in the middle.
func TestDrill(t *testing.T) {
	t.Parallel()
	m1 := newMachine(t, 1)
	m2, m3 := newMachine(t, 2, m1), newMachine(t, 3, m1)
	m1.start()
	m2.start()
	p := &ownProcess{t: t, cfg: m3.cfg, log: &bytes.Buffer{}}
	p.start()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the log of n3:\n%s", p.log)
		}
	})
	m1.untilVoting(3)
	write := func(name string) string { // each run of it leaves a line, and so does what would stop it
		return fmt.Sprintf("[Service]\nExecStart=/bin/sh -c 'echo $$$$ > %[1]s/%[2]s.pid; exec sleep 1000'\n"+
			"ExecStop=/bin/sh -c 'echo %[2]s >> %[1]s/stopped'\n\n", m3.cfg.StateDir, name)
	}
	bound := "[X-Fleet]\nMachineID=" + m3.cfg.MachineID + "\n"
	act := func(verb string, names ...string) {
		if _, err := m1.client().ScheduleAll(t.Context(), api.MachinesRequest{Verb: verb, Machines: names}); err != nil {
			t.Fatal(err)
		}
	}
	act("cordon", "n1", "n2")
	m1.act(api.Start, api.ActionRequest{Files: []api.File{{Name: "bound.service", Content: write("bound") + bound},
		{Name: "free.service", Content: write("free")}}})
	m1.untilActive("bound.service")
	m1.untilActive("free.service")
	act("uncordon", "n1", "n2")
	before := m3.pids()
	if len(before) != 2 {
		t.Fatalf("%d units run on n3", len(before))
	}

	plan, err := m1.client().PlanDrill(t.Context(), "n3")
	if err != nil || plan.Refusal != nil || len(plan.Moves) != 1 || plan.Moves[0].Unit != "free.service" ||
		len(plan.Nowhere) != 1 || plan.Nowhere[0].Unit != "bound.service" {
		t.Fatalf("the plan is %+v, %v", plan, err)
	}
	if _, err := m1.client().Drill(t.Context(), "n3", api.DrillRequest{Seconds: 8}); err == nil ||
		!strings.Contains(err.Error(), "1 unit of n3 would have nowhere to go: bound.service") {
		t.Fatalf("a unit has nowhere to go, and it began: %v", err)
	}
	d, err := m1.client().Drill(t.Context(), "n3", api.DrillRequest{Seconds: 8, Nowhere: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m1.client().Drill(t.Context(), "n2", api.DrillRequest{Seconds: 8}); err == nil ||
		!strings.Contains(err.Error(), "a drill of n3 is under way") {
		t.Errorf("another drill: %v", err)
	}
	m1.until("n3 failed", func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Machines(ctx)
		return err == nil && list.Machines[2].Health.State == cluster.Failed, err
	})
	failed := time.Now()
	for _, pid := range before {
		if unix.Kill(pid, 0) == nil {
			t.Errorf("process %d of n3 runs on", pid)
		}
	}
	if _, err := os.Stat(filepath.Join(m3.cfg.StateDir, "stopped")); err == nil {
		t.Error("ExecStop= was run")
	}
	p.kill() // it has to stay out all the same
	p.start()
	m1.untilActive("free.service")
	m1.untilVoting(3)
	if early := time.Until(d.Began.Add(7500 * time.Millisecond)); early > 0 {
		t.Errorf("n3 was back %s before the end of the drill", early)
	}
	m1.untilActive("bound.service")
	var report *api.DrillReport
	m1.until("the end of the drill", func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Timeline(ctx, "", 0)
		if err != nil {
			return false, err
		}
		report = api.NewDrillReport(*d, list.Events, func(id string) string { return "n" + strings.TrimLeft(id, "0") })
		return report.Complete() && len(report.Units) == 2 && report.Units[0].Outage != nil, nil
	})
	t.Logf("failed %.1f s after it went out; %+v", failed.Sub(d.Began).Seconds(), report)
	bounded, free := report.Units[0], report.Units[1]
	switch {
	case !bounded.Nowhere || bounded.To != "n3" || bounded.OutageSeconds < 7 || bounded.Until.Before(d.Began.Add(7*time.Second)):
		t.Errorf("the one without a place: %+v", bounded)
	case free.From != "n3" || free.To != "n1" && free.To != "n2" || free.OutageSeconds <= 0 || free.OutageSeconds > 6:
		t.Errorf("the one that moved: %+v", free)
	case !strings.Contains(report.Summary, "1 unit moved"), !strings.Contains(report.End, "n3 is back"):
		t.Errorf("%+v", report)
	}
	list, err := m1.client().Machines(t.Context())
	if err != nil || list.Machines[2].Drill != (cluster.Drill{}) {
		t.Errorf("n3's record has %+v, %v", list.Machines[2].Drill, err)
	}
	m1.act(api.Destroy, api.ActionRequest{Units: []string{"free.service", "bound.service"}})
	m1.until("their end", func(context.Context, *client.Client) (bool, error) { return len(m3.pids()) == 0, nil })
}
