package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/api/fleetv1"
	"fleettop/units"
)

// fleetPoll is how often a client of fleet looks.
const fleetPoll = 250 * time.Millisecond

// startFleet starts machines, of which the first listens where fleet's clients look. They
// have the IDs and the metadata of those given.
func startFleet(t *testing.T, as ...fleetv1.Machine) []*machine {
	t.Helper()
	var list []*machine
	for i, each := range as {
		m := newMachine(t, i+1, list[:min(i, 1)]...)
		m.cfg.MachineID, m.cfg.Metadata = each.ID, each.Metadata
		list = append(list, m)
	}
	m1 := list[0]
	m1.cfg.FleetSocket = filepath.Join(filepath.Dir(m1.cfg.RunDir), "fleet.sock")
	for _, m := range list {
		m.start()
	}
	m1.untilVoting(len(as))
	t.Cleanup(func() { // before the machines end: what runs is nobody's then
		if m1.stop == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		list, err := m1.client().Units(ctx, false)
		if err != nil {
			t.Error(err)
			return
		}
		for _, u := range list.Units {
			if u.Desired != units.Inactive {
				m1.act(api.Unload, api.ActionRequest{Units: []string{u.Name}})
			}
		}
		m1.until("the end of all units", func(ctx context.Context, c *client.Client) (bool, error) {
			list, err := c.Units(ctx, true)
			return err == nil && len(list.Units) == 0, err
		})
	})
	return list
}

// fleetDo sends a request to a machine's socket for fleet's clients.
func fleetDo(t *testing.T, socket, method, path, body string) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}}
	req, err := http.NewRequestWithContext(ctx, method, "http://domain-sock"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(raw)
}

// exchange is a request of fleetctl 1.0 and the answer of fleetd 1.0, as recorded in a cluster of
// three machines.
type exchange struct {
	Method, Path, Body string
	Status             int
	Header             map[string]string
	Answer             string
}

func recordedExchanges(t *testing.T) []exchange {
	t.Helper()
	f, err := os.Open("testdata/fleetctl.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []exchange
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var e exchange
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	if len(list) != 97 || lines.Err() != nil {
		t.Fatalf("%d exchanges, %v", len(list), lines.Err())
	}
	return list
}

var (
	// What is another in every cluster: which of its machines has a unit, and their addresses.
	anyMachine = regexp.MustCompile(`"machineID":"(1670f71251054b579d1e1342136db198|` +
		`69ad478874404aaab0482c952198c54b|b0b85366604140a7909a457d8d5b1333)"`)
	anyAddress = regexp.MustCompile(`"primaryIP":"[0-9.]+"`)
	// What was left over in the recorded cluster from before: a unit that was destroyed, and still
	// on a machine.
	leftOver = regexp.MustCompile(`^\{"states":\[\{[^}]*"name":"svc3\.service"[^}]*\}\]\}$`)
	// What changes while a client polls.
	progress = regexp.MustCompile(`"currentState":"(inactive|loaded|launched)",|"machineID":"M",|` +
		`"systemd(Active|Sub)State":"[a-z-]+",?`)
)

func withoutMachines(answer string) string {
	answer = leftOver.ReplaceAllString(answer, "{}")
	return anyAddress.ReplaceAllString(anyMachine.ReplaceAllString(answer, `"machineID":"M"`), `"primaryIP":"A"`)
}

// polls reports whether a request repeats another one.
func polls(first, next exchange) bool {
	return first.Method == "GET" && next.Method == "GET" && first.Path == next.Path
}

// TestRecordedExchanges replays what fleetctl asked of fleetd, and expects the same answers, byte
// by byte but for the machines. fleetctl polls: of requests that repeat each other the last
// answer is waited for, and those before it may differ in how far the unit is.
func TestRecordedExchanges(t *testing.T) {
	t.Parallel()
	list := recordedExchanges(t)
	var recorded fleetv1.MachinePage
	if err := json.Unmarshal([]byte(list[0].Answer), &recorded); err != nil || len(recorded.Machines) != 3 {
		t.Fatalf("%v in %s", err, list[0].Answer)
	}
	socket := startFleet(t, recorded.Machines...)[0].cfg.FleetSocket
	for i := 0; i < len(list); {
		last := i
		for last+1 < len(list) && polls(list[i], list[last+1]) {
			last++
		}
		i = last + 1
		want := list[last]
		deadline := time.Now().Add(patience)
		for {
			resp, body := fleetDo(t, socket, want.Method, want.Path, want.Body)
			what := fmt.Sprintf("%d: %s %s %s", last+1, want.Method, want.Path, want.Body)
			if resp.StatusCode != want.Status {
				t.Fatalf("%s is answered %d %s, want %d %s", what, resp.StatusCode, body, want.Status, want.Answer)
			}
			for name, value := range want.Header {
				if got := resp.Header.Get(name); got != value && (name != "Content-Length" || value == "0") {
					t.Errorf("%s: %s is %q, want %q", what, name, got, value)
				}
			}
			if server := resp.Header.Get("Server"); !strings.HasPrefix(server, "fleetd/1.0.0") {
				t.Errorf("%s: the server is %q", what, server)
			}
			got, wanted := withoutMachines(body), withoutMachines(want.Answer)
			if got == wanted {
				break
			}
			if want.Method != "GET" || progress.ReplaceAllString(got, "") != progress.ReplaceAllString(wanted, "") ||
				time.Now().After(deadline) {
				t.Fatalf("%s is answered\n%s, want\n%s", what, got, wanted)
			}
			time.Sleep(fleetPoll / 10) // as the client polls
		}
	}
}

// TestPatchedMetadataStays: what fleet's API changes in a machine's metadata outlives its daemon,
// and also its leaving and joining again.
func TestPatchedMetadataStays(t *testing.T) {
	t.Parallel()
	machines := startFleet(t,
		fleetv1.Machine{ID: strings.Repeat("a", 32), Metadata: map[string]string{"rack": "1"}},
		fleetv1.Machine{ID: strings.Repeat("b", 32), Metadata: map[string]string{"rack": "2"}},
		fleetv1.Machine{ID: strings.Repeat("c", 32), Metadata: map[string]string{"rack": "3", "old": "yes"}})
	m1, m3 := machines[0], machines[2]
	socket := m1.cfg.FleetSocket
	path := "/" + m3.cfg.MachineID + "/metadata/"
	patch := `[{"op":"add","path":"` + path + `disk","value":"ssd"},{"op":"remove","path":"` + path + `old"}]`
	resp, body := fleetDo(t, socket, "PATCH", "/fleet/v1/machines?alt=json", patch)
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("answered %d %s", resp.StatusCode, body)
	}
	want := map[string]string{"rack": "3", "disk": "ssd"}
	listed := func() map[string]string {
		var p fleetv1.MachinePage
		fleetctl{t, socket}.get("/machines", &p)
		for _, m := range p.Machines {
			if m.ID == m3.cfg.MachineID {
				return m.Metadata
			}
		}
		return nil
	}
	if got := listed(); !maps.Equal(got, want) {
		t.Errorf("patched: %v", got)
	}
	m3.halt()
	m3.start()
	m3.untilVoting(3)
	if got := listed(); !maps.Equal(got, want) {
		t.Errorf("after a restart of the daemon: %v", got)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ring := m1.ring()
	if _, err := m3.client().Leave(ctx, api.LeaveRequest{}); err != nil {
		t.Fatal(err)
	}
	<-m3.done
	m3.stop = nil
	if err := os.RemoveAll(m3.cfg.StateDir); err != nil {
		t.Fatal(err)
	}
	if err := ring.Save(m3.cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	m3.start()
	m1.untilVoting(3)
	if got := listed(); !maps.Equal(got, want) {
		t.Errorf("after leaving and joining again: %v", got)
	}
}
