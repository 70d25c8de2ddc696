//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestManagerContract runs the tests of units/systemd, which drive the systemd
// of the machine they are on, on a lab machine.
func TestManagerContract(t *testing.T) {
	suite := build(t, "systemd.test", "test", "-c", "-tags", "systemd", "fleettop/units/systemd")
	f := newFleet(t, 1, setup{idle: true})
	m := f.machines[0]
	f.must(m.CopyIn(suite, "/opt/systemd.test", 0o755))
	ctx, cancel := context.WithTimeout(f.ctx, 3*time.Minute)
	defer cancel()
	cmd := m.Command(ctx, "/opt/systemd.test", "-test.v", "-test.timeout=170s")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the tests of units/systemd: %v\n%s", err, out)
	}
	passed := strings.Count(string(out), "--- PASS")
	if strings.Contains(string(out), "--- SKIP") || passed < 20 {
		t.Errorf("%d tests of units/systemd passed, some were left out:\n%s", passed, out)
	}
	t.Logf("%d tests of units/systemd passed", passed)
}
