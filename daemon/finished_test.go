package daemon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
)

// TestFinishedAndDrainedIsNotRun: a oneshot that finished, and whose machine is
// drained while no other one takes it, isn't run when the machine is given back.
func TestFinishedAndDrainedIsNotRun(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 1)
	m.start()
	m.untilVoting(1)
	ran := filepath.Join(m.cfg.StateDir, "ran")
	once := func(more string) string {
		return fmt.Sprintf("[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo %%p >> %s'\n%s", ran, more)
	}
	m.act(api.Start, api.ActionRequest{Files: []api.File{{Name: "done.service", Content: once("")},
		{Name: "again.service", Content: once("[X-Fleet]\nRerun=true\n")}}})
	times := func(unit string) int {
		content, _ := os.ReadFile(ran)
		return strings.Count(string(content), unit+"\n")
	}
	placements := func(want int, reason string) func(context.Context, *client.Client) (bool, error) {
		return func(ctx context.Context, c *client.Client) (bool, error) {
			for _, name := range []string{"done.service", "again.service"} {
				u, err := c.Unit(ctx, name)
				if err != nil || len(u.Placements) != want {
					return false, err
				}
				if want == 1 && (u.Placements[0].Status == nil || u.Placements[0].Status.Generation < u.Generation ||
					u.Placements[0].Status.Active != "inactive") {
					return false, nil
				}
				if name == "done.service" && !strings.Contains(u.Unplaced, reason) {
					return false, fmt.Errorf("it has no place as %q", u.Unplaced)
				}
			}
			return true, nil
		}
	}
	m.until("the end of both", placements(1, ""))
	schedule := func(verb string) {
		req := api.MachinesRequest{Verb: verb, Machines: []string{m.cfg.MachineID}, Stop: verb == "drain"}
		if _, err := m.client().ScheduleAll(t.Context(), req); err != nil {
			t.Fatalf("%s: %v", verb, err)
		}
	}
	schedule("drain")
	m.until("both without a place", placements(0, "it ran and finished"))
	// Its end may have been seen only by a daemon before this one.
	m.halt()
	m.start()
	m.untilVoting(1)
	schedule("uncordon")
	m.until("both back", placements(1, ""))
	if done, again := times("done"), times("again"); done != 1 || again != 2 {
		t.Errorf("the oneshot ran %d times and the one with Rerun=true %d times, want 1 and 2", done, again)
	}
	m.act(api.Start, api.ActionRequest{Units: []string{"done.service"}})
	m.until("a second run by hand", func(context.Context, *client.Client) (bool, error) { return times("done") == 2, nil })
}
