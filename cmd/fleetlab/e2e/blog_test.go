//go:build e2e

package e2e

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

// TestPowerOff tells the story of fleet's blog post: three services on three
// machines, one machine loses power, its service runs elsewhere, and nobody
// touches the others.
func TestPowerOff(t *testing.T) {
	f := newFleet(t, 3, setup{})
	n1 := f.machines[0]
	names := []string{"myapp.service", "anotherapp.service", "someapp.service"}
	paths := f.write(n1, sleepers(names...))
	f.verb(n1, append([]string{"submit"}, paths...)...)
	f.verb(n1, append([]string{"start"}, names...)...)

	homes := map[string]string{}
	for _, unit := range names {
		homes[f.home(unit).Name] = unit
	}
	if len(homes) != 3 {
		t.Fatalf("three units are on %d machines: %v", len(homes), homes)
	}
	table := f.verb(n1, "list-unit-files")
	t.Logf("\n%s", table)
	lines := strings.Split(table, "\n")
	form := regexp.MustCompile(`^\S+\.service +[0-9a-f]{7} +launched +launched +[0-9a-f]{8}\.\.\./[0-9.]+$`)
	if strings.Join(strings.Fields(lines[0]), " ") != "UNIT HASH DSTATE STATE TARGET" || len(lines) != 4 {
		t.Errorf("list-unit-files isn't fleet's table:\n%s", table)
	}
	for _, line := range lines[1:] {
		if !form.MatchString(line) {
			t.Errorf("not a line of fleet's table: %q", line)
		}
	}

	victim := f.home("myapp.service")
	before := f.procs.snapshot()
	died, err := victim.Kill()
	f.must(err)
	to, outage := f.movedTo("myapp.service", victim, died, soon)
	t.Logf("myapp.service %s -> %s, outage %.3f s", victim.Name, to.Name, outage.Seconds())
	f.settled(f.others(victim)...)
	f.procs.unchanged(t, before, victim)
	f.procs.neverTwice(t)
	// Its process is there before its status is in the store.
	f.eventually("three units that are launched and are to be", soon, func() error {
		if after := f.verb(to, "list-unit-files", "--no-legend"); strings.Count(after, "launched") != 6 {
			return errors.New("after the failover:\n" + after)
		}
		return nil
	})
}

// TestTemplate tells the story of fleet's second blog post: loading a bare
// template is refused at once with a sentence that names the right form, and
// wedges nothing; its instances spread over the machines.
func TestTemplate(t *testing.T) {
	f := newFleet(t, 3, setup{})
	n1 := f.machines[0]
	paths := f.write(n1, map[string]string{"zk@.service": sleeper("Environment=INSTANCE=%i")})
	f.verb(n1, "submit", paths[0])

	code, said := f.refusal(n1, "load", "zk@.service")
	if code == 0 || !strings.Contains(said, "zk@.service is a template") || !strings.Contains(said, "zk@1.service") {
		t.Errorf("load zk@.service: exit code %d: %q; want the right form named", code, said)
	}

	f.on(n1, "bash", "-c", "cd / && fleettop load zk@{1..3}.service")
	if out := f.verb(n1, "list-unit-files", "--no-legend", "--fields", "unit,dstate,state",
		"zk@[123].service"); strings.Count(out, "loaded") != 6 {
		t.Errorf("after load:\n%s", out)
	}
	f.on(n1, "bash", "-c", "cd / && fleettop start zk@{1..3}.service")
	homes := map[string]bool{}
	for _, unit := range []string{"zk@1.service", "zk@2.service", "zk@3.service"} {
		homes[f.home(unit).Name] = true
	}
	if len(homes) != 3 {
		t.Errorf("three instances are on %d machines", len(homes))
	}
	f.start(f.machines[1], sleepers("other.service"))
	f.home("other.service")
	f.verb(n1, "destroy", "zk@.service")
	f.procs.neverTwice(t)
}
