package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/daemon/api/server"
	"fleettop/journal"
)

func TestUnitAndMachine(t *testing.T) {
	for arg, want := range map[string][2]string{
		"web@1.service@n3": {"web@1.service", "n3"}, "web@1.service": {"web@1.service", ""}, "web@1": {"web@1.service",
			""}, "db": {"db.service", ""},
		"db.service@1670f712": {"db.service", "1670f712"}, "web@*": {"web@*", ""}, "web@*.service@n3": {"web@*.service",
			"n3"}, "web@n3": {"web@n3.service", ""},
	} {
		if unit, machine := unitAndMachine(arg); unit != want[0] || machine != want[1] {
			t.Errorf("%s is %q on %q", arg, unit, machine)
		}
	}
}

// recorded are logs that say what they are told to, once a connection.
type recorded struct {
	mu    sync.Mutex // guards what follows
	asked []api.JournalOptions
	say   [][]journal.Entry
}

func (r *recorded) Journal(ctx context.Context, o api.JournalOptions, emit func([]journal.Entry) error) error {
	r.mu.Lock()
	r.asked = append(r.asked, o)
	n := len(r.asked) - 1
	r.mu.Unlock()
	if n >= len(r.say) {
		<-ctx.Done()
		return ctx.Err()
	}
	if err := emit(r.say[n]); err != nil {
		return err
	}
	if o.Follow {
		panic(http.ErrAbortHandler) // as when the daemon is restarted
	}
	return nil
}

func logsOf(t *testing.T, say ...[]journal.Entry) (*recorded, *apitest.Cluster) {
	r := &recorded{say: say}
	return r, apitest.Start(t, 2, func(c *server.Config) { c.Logs = r })
}

var noon = time.Date(2026, 1, 31, 12, 0, 0, 250e6, time.UTC)

func someLines() []journal.Entry {
	m1, m2 := apitest.Machine(1).ID, apitest.Machine(2).ID
	return []journal.Entry{
		{Time: noon, Machine: m1, Unit: "web@1.service", Priority: 3, Message: "boom\x1b[31m\nsecond", Cursor: "1",
			Fields: map[string]string{"SYSLOG_IDENTIFIER": "web", "_PID": "7"}},
		{Kind: journal.KindDivider, Time: noon, Machine: m2, Unit: "web@1.service", Text: "moved n1 → n2, outage 1.12s"},
		{Time: noon, Machine: m2, Unit: "web@1.service", Priority: 6, Message: "bin\xff", Cursor: "2"},
	}
}

func journalOutput(t *testing.T, c *apitest.Cluster, args ...string) (out, errOut string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Run(t.Context(), append([]string{"--endpoint", c.Endpoint, "journal"}, args...), strings.NewReader(""), &stdout,
		&stderr)
	return stdout.String(), stderr.String(), code
}

func TestJournalForms(t *testing.T) {
	for name, want := range map[string]string{
		"short": "Jan 31 12:00:00 n1 web[7]: boom^[[31m\n" + strings.Repeat(" ",
			27) + "second\n-- Jan 31 12:00:00 moved n1 → n2, outage 1.12s --\nJan 31 12:00:00 n2 web@1: bin\\xff\n",
		"no-hostname": "Jan 31 12:00:00 web[7]: boom^[[31m\n" + strings.Repeat(" ",
			24) + "second\n-- Jan 31 12:00:00 moved n1 → n2, outage 1.12s --\nJan 31 12:00:00 web@1: bin\\xff\n",
		"cat": "boom\x1b[31m\nsecond\nbin\xff\n",
	} {
		_, c := logsOf(t, someLines())
		args := []string{"--utc", "web@1", "-o", name}
		if name == "no-hostname" {
			args = []string{"--utc", "web@1", "--no-hostname", "--sudo"}
		}
		out, errOut, code := journalOutput(t, c, args...)
		if out != want || code != 0 {
			t.Errorf("%s: exit code %d, %s\n%q\nwant\n%q", name, code, errOut, out, want)
		}
		if name == "cat" && !strings.Contains(errOut, "moved n1 → n2") {
			t.Errorf("the divider is not told to the person: %q", errOut)
		}
	}
	_, c := logsOf(t, someLines())
	out, _, _ := journalOutput(t, c, "web@1", "-o", "json")
	var objects []map[string]any
	for dec := json.NewDecoder(strings.NewReader(out)); dec.More(); {
		var o map[string]any
		if err := dec.Decode(&o); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o)
	}
	if len(objects) != 3 || objects[0]["__REALTIME_TIMESTAMP"] != "1769860800250000" || objects[0]["_HOSTNAME"] != "n1" ||
		objects[0]["_PID"] != "7" || objects[1]["FLEETTOP_KIND"] != "divider" {
		t.Errorf("%s", out)
	}
	if raw, ok := objects[2]["MESSAGE"].([]any); !ok || len(raw) != 4 || raw[3] != 255.0 {
		t.Errorf("bytes are %v", objects[2]["MESSAGE"])
	}
	_, c = logsOf(t, someLines())
	out, _, _ = journalOutput(t, c, "web@1", "-o", "export")
	if !strings.Contains(out, "MESSAGE\n\x04\x00\x00\x00\x00\x00\x00\x00bin\xff\n") ||
		!strings.HasPrefix(out, "__CURSOR=1\n__REALTIME_TIMESTAMP=1769860800250000\n") || strings.Count(out, "\n\n") != 3 {
		t.Errorf("%q", out)
	}
}

func TestJournalOptions(t *testing.T) {
	r, c := logsOf(t, nil, nil, nil, nil, nil, nil)
	for _, args := range [][]string{{"db"}, {"db", "web@*", "-n", "all", "-p", "err", "-g", "x"},
		{"db.service@n2", "--since", "@1769860800", "-o", "json"}, {"db", "-n", "0", "-m", "n1"},
		{"db", "--since", "@1769860800", "--until", "@1769860800"}, {"db", "-p", "err", "-n", "3"}} {
		if _, errOut, code := journalOutput(t, c, args...); code != 0 && !slices.Contains(args, "-g") {
			t.Fatalf("%q: %s", args, errOut)
		}
	}
	for i, want := range []api.JournalOptions{
		{Units: []string{"db.service"}, Lines: 10},
		{Units: []string{"db.service", "web@*"}, Priority: "err", Grep: "x"},
		{Units: []string{"db.service"}, Machine: "n2", Since: time.Unix(1769860800, 0).Local().Format(time.RFC3339Nano),
			Fields: true},
		{Units: []string{"db.service"}, Machine: "n1", Lines: -1},
		{Units: []string{"db.service"}, Since: time.Unix(1769860800, 0).Local().Format(time.RFC3339Nano),
			Until: time.Unix(1769860800, 0).Local().Format(time.RFC3339Nano)},
		{Units: []string{"db.service"}, Priority: "err", Lines: 3},
	} {
		got := r.asked[i]
		if !slices.Equal(got.Units, want.Units) || got.Lines != want.Lines || got.Machine != want.Machine ||
			got.Since != want.Since || got.Until != want.Until || got.Fields != want.Fields || got.Priority != want.Priority ||
			got.Grep != want.Grep {
			t.Errorf("asked for %+v, not for %+v", got, want)
		}
	}
	for _, args := range [][]string{{}, {"db", "-n", "few"}, {"db", "-n", "-1"}, {"db", "--since", "bread"},
		{"db", "-p", "loud"}, {"db", "-g", "("}, {"db", "-o", "xml"}, {"db", "-f", "--until", "now"}, {"db", "--since", "now",
			"--until", "-1h"}, {"a.service@n1", "b.service@n2"}} {
		if _, errOut, code := journalOutput(t, c, args...); code != exitUsage {
			t.Errorf("%q: exit code %d, %s", args, code, errOut)
		}
	}
}

// TestJournalFindsNothing: as with journalctl, what a pattern doesn't find is a failure, and an empty log is none.
func TestJournalFindsNothing(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
	}{{[]string{"db"}, 0}, {[]string{"db", "-p", "emerg"}, 0}, {[]string{"db", "-g", "x"}, exitFailed}} {
		_, cluster := logsOf(t, nil)
		if out, errOut, code := journalOutput(t, cluster, c.args...); code != c.code || out != "" ||
			errOut != "-- No entries --\n" {
			t.Errorf("%q: exit code %d, %q, %q", c.args, code, out, errOut)
		}
	}
}

// TestJournalDefaultLines: the newest ten, and all where something else says which are wanted.
func TestJournalDefaultLines(t *testing.T) {
	for _, c := range []struct {
		fl    journalFlags
		lines int
	}{
		{journalFlags{}, 10}, {journalFlags{follow: true}, 10}, {journalFlags{follow: true, grep: "x", priority: "err"}, 10},
		{journalFlags{follow: true, since: "-1h"}, 0}, {journalFlags{since: "-1h"}, 0}, {journalFlags{until: "now"}, 0},
		{journalFlags{grep: "x"}, 0}, {journalFlags{priority: "err"}, 0}, {journalFlags{grep: "x", linesSet: true}, 10},
	} {
		c.fl.lines, c.fl.output = "10", "short"
		if o, err := c.fl.options([]string{"db"}, noon); err != nil || o.Lines != c.lines {
			t.Errorf("%+v asks for %d lines, %v", c.fl, o.Lines, err)
		}
	}
}

// TestJournalGoesOn: when the daemon is restarted under --follow, it goes on where it was.
func TestJournalGoesOn(t *testing.T) {
	m1 := apitest.Machine(1).ID
	line := func(text, cursor string) journal.Entry {
		return journal.Entry{Time: noon, Machine: m1, Unit: "db.service", Message: text, Cursor: journal.Cursor(cursor)}
	}
	divider := journal.Entry{Kind: journal.KindDivider, Time: noon, Text: "moved"}
	r, c := logsOf(t, []journal.Entry{line("one", "c1"), divider}, []journal.Entry{divider, line("two", "c2")})
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- Run(ctx, []string{"--endpoint", c.Endpoint, "journal", "-f", "-o", "cat", "db"}, strings.NewReader(""),
			writer, io.Discard)
		writer.Close()
	}()
	in := bufio.NewScanner(reader)
	for _, want := range []string{"one", "two"} {
		if !in.Scan() || in.Text() != want {
			t.Fatalf("got %q, want %q", in.Text(), want)
		}
	}
	cancel()
	if code := <-done; code != exitInterrupted {
		t.Errorf("interrupted, it ends with %d", code)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if after := r.asked[1].After; after[m1] != "c1" || r.asked[1].Since == "" {
		t.Errorf("it goes on after %v, since %q", after, r.asked[1].Since)
	}
}
