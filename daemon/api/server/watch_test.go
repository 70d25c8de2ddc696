package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/daemon/api/client"
	"fleettop/daemon/api/server"
	"fleettop/units"
)

func TestMain(m *testing.M) {
	// Each case of the watch's property waits on a cluster at work; the command line may ask for more.
	if err := flag.Set("rapid.checks", "15"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// follower keeps the latest state a watch added up to, as JSON.
type follower struct {
	mu    sync.Mutex // guards what follows
	state string
	lines []api.Line
}

func follow(t *testing.T, client *client.Client, opts api.WatchOptions) *follower {
	t.Helper()
	f := &follower{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- client.Watch(ctx, opts, func(s *api.State, l *api.Line) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.state = dump(s)
			f.lines = append(f.lines, *l)
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the watch ended with %v", err)
		}
	})
	return f
}

func (f *follower) latest() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

func (f *follower) saw(want func(api.Line) bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.lines {
		if want(l) {
			return true
		}
	}
	return false
}

// dump is a state without what may differ between two that say the same: the
// revision of the last line that had nothing for a filtered reader.
func dump(s *api.State) string {
	type row struct{ K, V any }
	c := *s
	c.Revision = 0
	var as, sts []row
	for k, v := range c.Assignments {
		as = append(as, row{fmt.Sprint(k), v})
	}
	for k, v := range c.Statuses {
		sts = append(sts, row{fmt.Sprint(k), v})
	}
	sortRows := func(rows []row) map[string]any {
		m := map[string]any{}
		for _, r := range rows {
			m[r.K.(string)] = r.V
		}
		return m
	}
	raw, err := json.MarshalIndent(map[string]any{"cluster": c.ClusterID, "self": c.Self, "leader": c.Leader, "store": c.Store, "machines": c.Machines,
		"units": c.Units, "assignments": sortRows(as), "statuses": sortRows(sts), "unplaced": c.Unplaced, "events": c.Events}, "", " ")
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// stateNow is what GET /v1/state adds up to.
func stateNow(tb testing.TB, c *apitest.Cluster, query string) string {
	tb.Helper()
	socket := strings.TrimPrefix(c.Endpoint, "unix://")
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	resp, err := (&http.Client{Transport: tr}).Get("http://fleettop/v1/state" + query)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	var l api.Line
	if err := json.NewDecoder(resp.Body).Decode(&l); err != nil {
		tb.Fatal(err)
	}
	var s api.State
	s.Apply(&l)
	return dump(&s)
}

// TestWatchAddsUpToState changes a cluster at random and holds that folding
// the stream gives what a reader that comes later is told.
func TestWatchAddsUpToState(t *testing.T) {
	c := apitest.Start(t, 3)
	client := c.Client()
	everything := follow(t, client, api.WatchOptions{})
	filtered := follow(t, client, api.WatchOptions{Units: []string{"u1.service", "u[23]*"}, Machines: []string{apitest.Machine(1).ID, apitest.Machine(2).ID}})
	const query = "?unit=u1.service&unit=u%5B23%5D*&machine="
	filter := query + apitest.Machine(1).ID + "," + apitest.Machine(2).ID
	rapid.Check(t, func(rt *rapid.T) {
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			name := fmt.Sprintf("u%d.service", rapid.IntRange(0, 4).Draw(rt, "unit"))
			machine := apitest.Machine(rapid.IntRange(1, 3).Draw(rt, "machine")).ID
			switch rapid.IntRange(0, 6).Draw(rt, "what") {
			case 0, 1:
				content := service
				if rapid.Bool().Draw(rt, "unplaceable") {
					content += "[X-Fleet]\nMachineMetadata=rack=none\n"
				}
				act(rt, client, api.ActionRequest{Verb: api.Start, Files: []api.File{{Name: name, Content: content}}, Replace: true})
			case 2:
				act(rt, client, api.ActionRequest{Verb: rapid.SampledFrom([]api.Verb{api.Stop, api.Unload, api.Destroy, api.Restart}).Draw(rt, "verb"), Units: []string{name}})
			case 3:
				c.SetHealth(machine, rapid.SampledFrom([]cluster.HealthState{cluster.Up, cluster.Suspect, cluster.Failed}).Draw(rt, "health"))
			case 4:
				verb := rapid.SampledFrom([]string{"cordon", "drain", "uncordon"}).Draw(rt, "schedule")
				if _, err := client.Schedule(context.Background(), machine, verb); err != nil {
					rt.Fatal(err)
				}
			case 5:
				live := func() bool { _, live, _, _ := c.View.LastKnown(); return live }
				c.Store.SetReachable(false)
				// A view that hasn't noticed the loss yet would refuse a later step.
				apitest.Eventually(t, "the loss is noticed", func() bool { return !live() })
				c.Store.SetReachable(true)
				apitest.Eventually(t, "the store is back", live)
			case 6:
				c.Break(name, units.Status{Active: "failed", Sub: "failed", Result: "exit-code"}, "")
			}
		}
		for _, f := range []struct {
			*follower
			query string
		}{{everything, ""}, {filtered, filter}} {
			var want, got string
			for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				// A reader that comes late has only the newest events.
				want, got = cutEvents(stateNow(t, c, f.query)), cutEvents(f.latest())
				if want == got {
					break
				}
				if time.Now().After(deadline) {
					rt.Fatalf("query %q: the stream and the state differ in\n%s", f.query, differing(got, want))
				}
			}
		}
	})
}

// differing has the lines only one of two texts has.
func differing(a, b string) string {
	count := map[string]int{}
	for line := range strings.SplitSeq(a, "\n") {
		count[line]++
	}
	for line := range strings.SplitSeq(b, "\n") {
		count[line]--
	}
	var out strings.Builder
	for line, n := range count {
		if n != 0 {
			fmt.Fprintf(&out, "%+d %s\n", n, line)
		}
	}
	return out.String()
}

func cutEvents(dump string) string {
	var m map[string]any
	if err := json.Unmarshal([]byte(dump), &m); err != nil {
		return err.Error()
	}
	if list, ok := m["events"].([]any); ok && len(list) > 20 {
		m["events"] = list[len(list)-20:]
	}
	raw, _ := json.MarshalIndent(m, "", " ")
	return string(raw)
}

func act(rt *rapid.T, client *client.Client, req api.ActionRequest) {
	rt.Helper()
	if _, err := client.Act(context.Background(), req); err != nil {
		if e, ok := err.(*api.Error); !ok || e.Code != api.CodeNotFound {
			rt.Fatal(err)
		}
	}
}

func TestWatchTellsOfTheStore(t *testing.T) {
	c := apitest.Start(t, 2)
	client := c.Client()
	submit(t, client, api.Start, "a.service", service)
	f := follow(t, client, api.WatchOptions{})
	apitest.Eventually(t, "the snapshot is there", func() bool { return f.latest() != "" })
	apitest.Eventually(t, "a heartbeat comes", func() bool { return f.saw(func(l api.Line) bool { return l.Kind == api.LineHeartbeat }) })
	c.Store.SetReachable(false)
	apitest.Eventually(t, "the loss is told, with when", func() bool {
		return f.saw(func(l api.Line) bool { return l.Kind == api.LineStore && !l.Store.Connected && !l.Store.Since.IsZero() })
	})
	if !strings.Contains(f.latest(), "a.service") {
		t.Error("the state went with the store")
	}
	other := c.Mem.Open()
	defer other.Close()
	if err := other.Record(t.Context(), cluster.Event{Kind: cluster.EventUnit, Text: "while you were away"}); err != nil {
		t.Fatal(err)
	}
	c.Store.SetReachable(true)
	apitest.Eventually(t, "the store is back", func() bool {
		return f.saw(func(l api.Line) bool { return l.Kind == api.LineStore && l.Store.Connected })
	})
	apitest.Eventually(t, "the event that was missed is told", func() bool { return strings.Contains(f.latest(), "while you were away") })
	if n := strings.Count(f.latest(), "while you were away"); n != 1 {
		t.Errorf("the event came %d times", n)
	}
}

// TestAReaderChoosesItsHeartbeat, shorter than the daemon's own and not longer.
func TestAReaderChoosesItsHeartbeat(t *testing.T) {
	c := apitest.Start(t, 1, func(cfg *server.Config) { cfg.Heartbeat = time.Hour })
	var mu sync.Mutex
	alive := 0
	f := follow(t, c.Client(), api.WatchOptions{Heartbeat: 300 * time.Millisecond, Alive: func() {
		mu.Lock()
		defer mu.Unlock()
		alive++
	}})
	apitest.Eventually(t, "heartbeats come", func() bool {
		beats := 0
		f.saw(func(l api.Line) bool {
			if l.Kind == api.LineHeartbeat {
				beats++
			}
			return false
		})
		mu.Lock()
		defer mu.Unlock()
		return beats >= 3 && alive > beats
	})
}

func TestFollowEvents(t *testing.T) {
	c := apitest.Start(t, 1)
	client := c.Client()
	submit(t, client, api.Submit, "a.service", service)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var got []string
	done := errors.New("enough")
	err := client.FollowEvents(ctx, "", 0, func(ev cluster.Event) error {
		got = append(got, ev.Text)
		if len(got) == 1 {
			submit(t, c.Client(), api.Destroy, "a.service", "")
		}
		if len(got) == 2 {
			return done
		}
		return nil
	})
	if want := []string{"submitted a.service", "destroyed a.service"}; err != done || !reflect.DeepEqual(got, want) {
		t.Errorf("followed %v, %v; want %v", got, err, want)
	}
}

// TestSlowReaderIsCutOff holds that a reader that takes nothing doesn't keep
// the daemon from its work, and isn't kept for ever.
func TestSlowReaderIsCutOff(t *testing.T) {
	c := apitest.Start(t, 1)
	client := c.Client()
	conn, err := net.Dial("unix", strings.TrimPrefix(c.Endpoint, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /v1/watch HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	watchers := func() bool {
		_, body := send(t, c, "GET", "/metrics", "", "")
		return strings.Contains(body, "fleettop_api_watchers 1")
	}
	apitest.Eventually(t, "the watch is served", watchers)
	req := api.ActionRequest{Verb: api.Start}
	for i := range 300 {
		req.Files = append(req.Files, api.File{Name: fmt.Sprintf("u%03d.service", i), Content: service})
	}
	apitest.Eventually(t, "the watch is cut off", func() bool {
		if _, err := client.Act(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		req = api.ActionRequest{Verb: api.Restart, Units: []string{}}
		for i := range 300 {
			req.Units = append(req.Units, fmt.Sprintf("u%03d.service", i))
		}
		return !watchers()
	})
}

func BenchmarkListUnits(b *testing.B) {
	c := apitest.Start(b, 3)
	client := c.Client()
	var files []api.File
	for i := range 1000 {
		files = append(files, api.File{Name: fmt.Sprintf("u%04d.service", i), Content: service})
	}
	for _, req := range []api.ActionRequest{{Verb: api.Start, Files: files[:300]}, {Verb: api.Submit, Files: files[300:]}} {
		if _, err := client.Act(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
	apitest.Eventually(b, "300 run", func() bool {
		list, err := client.Units(b.Context(), true)
		n := 0
		for _, u := range list.Units {
			if u.State == units.Launched {
				n++
			}
		}
		return err == nil && n == 300
	})
	for name, placed := range map[string]bool{"units": true, "files": false} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := client.Table(b.Context(), placed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
