package daemon

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"fleettop/daemon/api/client"
)

// A machine without data of its own, whose cache is unreadable, founds no
// cluster: it waits for the others to call.
func TestUnreadableSeedsFoundNoCluster(t *testing.T) {
	t.Parallel()
	m1 := newMachine(t, 1)
	m2, m3 := m1.startThree()
	m4 := newMachine(t, 4, m1)
	m4.start()
	member := func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Machines(ctx)
		return err == nil && len(list.Machines) == 4 && list.Store.Connected, err
	}
	m4.until("four machines", member)
	m4.until("the addresses on disk", func(context.Context, *client.Client) (bool, error) {
		return len(m4.seeds()) == 3, nil
	})
	m4.halt()
	m4.cfg.Join = nil
	if err := os.WriteFile(filepath.Join(m4.cfg.StateDir, seedsFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m4.start()
	m4.until("four machines again", member)
	if m4.log.contains("founded a new cluster") {
		t.Error("it founded a cluster")
	}
	_, _ = m2, m3
}

// seedsFile is where a daemon notes the other machines' addresses.
const seedsFile = "peers.json"

// seeds are the addresses that a machine notes for its next start; none while it has no such file.
func (m *machine) seeds() []string {
	var list []string
	if raw, err := os.ReadFile(filepath.Join(m.cfg.StateDir, seedsFile)); err == nil {
		_ = json.Unmarshal(raw, &list)
	}
	return list
}
