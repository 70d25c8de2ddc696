//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/units"
)

// noticed is how soon what is done by hand must be seen on a loaded host; the
// README says a second, and the test logs how long it took.
const noticed = 10 * time.Second

// TestBehindOurBack does to units on their machine what people do with systemctl,
// rm and editors: it is seen, shown for what it is, and left alone or put right
// as the README's table says. Each is told on the timeline once.
func TestBehindOurBack(t *testing.T) {
	f := newFleet(t, 1, setup{})
	m := f.machines[0]
	const dropIn = "/etc/systemd/system/web.service.d/override.conf"
	f.start(m, map[string]string{
		"web.service":  sleeper("[Install]", "WantedBy=multi-user.target"),
		"side.service": "[Unit]\nBindsTo=web.service\nAfter=web.service\n" + sleeper()[len("[Unit]\n"):],
		"idle.service": sleeper(), "excl.service": sleeper("[X-Fleet]", "Exclusive=true"),
		"tick.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
		"tick.timer":   "[Timer]\nOnActiveSec=100ms\nOnUnitActiveSec=500ms\nAccuracySec=1ms\n",
	})
	f.verb(m, "stop", "idle.service", "tick.service")
	c := f.client(m)
	row := func(unit string) (api.UnitInfo, units.Status, string) {
		d, err := c.Unit(f.ctx, unit)
		f.must(err)
		if len(d.Placements) != 1 || d.Placements[0].Status == nil {
			return d.UnitInfo, units.Status{}, "not reported"
		}
		st := d.Placements[0].Status
		return d.UnitInfo, st.Status, string(cluster.Standing{Desired: d.Desired, Generation: d.Generation, Placed: true,
			Carried: st.Generation, Error: st.Error, Status: st.Status}.State())
	}
	events := func() (texts []string) {
		list, err := c.Timeline(f.ctx, "", 500)
		f.must(err)
		for _, e := range list.Events {
			texts = append(texts, e.Text)
		}
		return texts
	}
	told := func(text string) (n int) {
		for _, e := range events() {
			if strings.Contains(e, text) {
				n++
			}
		}
		return n
	}
	pid := func(unit string) string { return f.show(m, unit, "MainPID") }

	web := pid("web.service")
	for _, step := range []struct {
		do    string // on the machine
		unit  string
		state string // in one word
		shown string // in what `status` says
		told  string // on the timeline, once more than before
		same  bool   // its process is the one from before
		check func() error
	}{
		{do: "systemctl stop idle.service", unit: "idle.service", state: "loaded"},
		{do: "systemctl start idle.service", unit: "idle.service", state: "active", shown: "started by hand on its machine",
			told: "idle.service was started by hand on n1"},
		{do: "systemctl restart idle.service", unit: "idle.service", state: "active", shown: "restarted by hand on its machine",
			told: "idle.service was restarted by hand on n1"},
		{do: "fleettop stop idle.service", unit: "idle.service", state: "loaded"},
		{do: "systemctl restart side.service", unit: "side.service", state: "active", told: "side.service was restarted by hand on n1"},
		{do: "systemctl set-property side.service CPUWeight=50", unit: "side.service", state: "active", same: true,
			shown: "changed by /etc/systemd/system.control/side.service.d/50-CPUWeight.conf",
			told:  "side.service is changed by /etc/systemd/system.control/side.service.d/50-CPUWeight.conf on n1"},
		{do: "systemctl revert side.service", unit: "side.service", state: "active", same: true, told: "side.service is no longer changed by"},
		{do: "mkdir -p /etc/systemd/system/web.service.d && printf '[Service]\\nNice=5\\n' >" + dropIn + " && systemctl daemon-reload",
			unit: "web.service", state: "active", shown: "changed by " + dropIn, told: "web.service is changed by " + dropIn + " on n1", same: true},
		{do: "rm -r /etc/systemd/system/web.service.d && systemctl daemon-reload", unit: "web.service", state: "active", same: true,
			told: "web.service is no longer changed by " + dropIn},
		{do: "systemctl mask web.service", unit: "web.service", state: "masked", same: true,
			shown: "masked by /etc/systemd/system/web.service", told: "web.service is masked by /etc/systemd/system/web.service on n1"},
		{do: "systemctl unmask web.service", unit: "web.service", state: "active", same: true, told: "web.service is no longer masked by"},
		{do: "sed s/infinity/999/ /run/fleettop/units/web.service >/etc/systemd/system/web.service && systemctl daemon-reload",
			unit: "web.service", state: "active", same: true, shown: "replaced by /etc/systemd/system/web.service",
			told: "web.service is replaced by /etc/systemd/system/web.service on n1"},
		{do: "rm /etc/systemd/system/web.service && systemctl daemon-reload", unit: "web.service", state: "active", same: true,
			told: "web.service is no longer replaced by"},
		{do: "sed -i s/infinity/998/ /run/fleettop/units/web.service", unit: "web.service", state: "active", same: true,
			told: "web.service had its file changed or taken away by hand on n1", check: func() error {
				if got := f.on(m, "grep", "-c", "infinity", "/run/fleettop/units/web.service"); got != "1" {
					return fmt.Errorf("the file isn't as it was: %s", got)
				}
				if got := f.show(m, "web.service", "NeedDaemonReload"); got != "no" {
					return fmt.Errorf("NeedDaemonReload=%s", got)
				}
				return nil
			}},
		{do: "rm /run/fleettop/units/web.service /run/systemd/system/web.service", unit: "web.service", state: "active", same: true,
			told: "web.service had its file changed or taken away by hand on n1", check: func() error {
				if got := f.show(m, "web.service", "FragmentPath"); got != "/run/systemd/system/web.service" {
					return fmt.Errorf("its file is %s", got)
				}
				_, err := m.Exec(f.ctx, "test", "-s", "/run/systemd/system/web.service")
				return err
			}},
		{do: "systemctl disable --runtime web.service", unit: "web.service", state: "active", same: true,
			told: "web.service had its file changed or taken away by hand on n1", check: func() error {
				_, err := m.Exec(f.ctx, "test", "-s", "/run/systemd/system/multi-user.target.wants/web.service")
				return err
			}},
		{do: "rm -r /run/systemd/system/excl.service.d", unit: "excl.service", state: "active", same: true,
			told: "excl.service had its file changed or taken away by hand on n1", check: func() error {
				if got := f.show(m, "excl.service", "BindsTo"); !strings.Contains(got, "fleettop-fence.service") {
					return fmt.Errorf("BindsTo=%s", got)
				}
				_, err := m.Exec(f.ctx, "test", "-s", "/run/systemd/system/excl.service.d/50-fleettop-fence.conf")
				return err
			}},
		{do: "systemctl kill -s KILL web.service", unit: "web.service", state: "failed", told: "web.service failed on n1: signal"},
		{do: "systemctl reset-failed web.service", unit: "web.service", state: "stopped", shown: "that was reset by hand on its machine",
			told: "web.service had failed, which was reset by hand on n1"},
		{do: "fleettop start web.service side.service", unit: "web.service", state: "active"},
		{do: "systemctl stop web.service", unit: "web.service", state: "stopped", shown: "stopped by hand on its machine",
			told: "web.service was stopped by hand on n1"},
		{do: "systemctl restart fleettop.service", unit: "web.service", state: "stopped", shown: "stopped by hand on its machine"},
		{do: "systemctl start web.service", unit: "web.service", state: "active", told: "web.service was started by hand on n1"},
		{do: "systemctl stop excl.service", unit: "excl.service", state: "stopped", shown: "stopped by hand on its machine",
			told: "excl.service was stopped by hand on n1"},
		{do: "fleettop start excl.service", unit: "excl.service", state: "active"},
		{do: "systemctl stop fleettop-fence.service", unit: "excl.service", state: "active", check: func() error {
			if got := f.show(m, "fleettop-fence.service", "ActiveState"); got != "active" {
				return fmt.Errorf("the fence is %s", got)
			}
			return nil
		}},
	} {
		before, had := pid(step.unit), told(step.told)
		began := time.Now()
		if _, err := m.Exec(f.ctx, "sh", "-c", step.do); err != nil {
			t.Fatalf("%s: %v", step.do, err)
		}
		done := time.Now()
		f.eventually("what is shown after "+step.do, noticed, func() error {
			u, st, state := row(step.unit)
			shown := cluster.ByHand(u.Name, u.Desired, st)
			switch {
			case state != step.state:
				return fmt.Errorf("it is %s, want %s: %+v", state, step.state, st)
			case step.shown == "" && shown != "" || !strings.Contains(shown, step.shown):
				return fmt.Errorf("it is shown as %q, want %q", shown, step.shown)
			case step.told != "" && told(step.told) != had+1:
				return fmt.Errorf("the timeline has %q %d times, had it %d times", step.told, told(step.told), had)
			case step.check != nil:
				return step.check()
			}
			return nil
		})
		t.Logf("%4.0f ms after %4.0f ms of %s", float64(time.Since(done))/1e6, float64(done.Sub(began))/1e6, step.do)
		if step.same && pid(step.unit) != before {
			t.Errorf("%s: its process is another one", step.do)
		}
	}
	if now := pid("web.service"); now == web || now == "0" {
		t.Errorf("web.service has the process %s, had %s", now, web)
	}
	out := f.verb(m, "list-units", "--no-legend", "--fields", "unit,active,byhand")
	t.Log(out)
	// What units do to each other, and timers to units, isn't done by hand.
	f.verb(m, "restart", "web.service")
	for _, text := range []string{"tick.service was", "excl.service was started", "excl.service was restarted"} {
		if n := told(text); n != 0 {
			t.Errorf("the timeline has %q %d times", text, n)
		}
	}
	if n := told("side.service was"); n != 1 { // the restart above
		t.Errorf("side.service went with web.service: told %d times\n%s", n, strings.Join(events(), "\n"))
	}
}
