package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/daemon/api/server"
)

// jsonCase is a verb as it succeeds, as it fails and as it is used wrongly.
type jsonCase struct {
	ok, fails, misused string
	object             bool // it answers with an object, where others do with a list
	streams            bool // a value a line
	code               string
}

func jsonCases(dir string) map[string]jsonCase {
	key := filepath.Join(dir, "key")
	return map[string]jsonCase{
		"submit":  {ok: "submit a.service", fails: "submit none.service", misused: "submit"},
		"load":    {ok: "load a.service", fails: "load none", misused: "load --nope a"},
		"start":   {ok: "start a.service", fails: "start ./bad.service", misused: "start --no-block --wait 1s a"},
		"restart": {ok: "restart a.service", fails: "restart none", misused: "restart"},
		"stop":    {ok: "stop a.service", fails: "stop none", misused: "stop --block-attempts=-1 a"},
		"unload":  {ok: "unload a.service", fails: "unload none", misused: "unload"},
		"status":  {ok: "status a", fails: "status none", misused: "status"},
		"cat":     {ok: "cat a", fails: "cat none", misused: "cat"},
		"verify":  {ok: "verify a.service", fails: "verify bad.service", misused: "verify"},
		"explain": {ok: "explain a", fails: "explain none", misused: "explain a b", object: true, code: "not_found"},
		"list-units": {ok: "list-units", fails: "AWAY list-units", misused: "list-units --fields=nope",
			code: "unreachable"},
		"list-unit-files": {ok: "list-unit-files", fails: "AWAY list-unit-files", misused: "list-unit-files --nope",
			code: "unreachable"},
		"list-machines": {ok: "list-machines", fails: "AWAY list-machines", misused: "list-machines n1",
			code: "unreachable"},
		"connectivity": {ok: "connectivity", fails: "AWAY connectivity", misused: "connectivity n1", object: true,
			code: "unreachable"},
		"cordon":   {ok: "cordon n2", fails: "cordon n9", misused: "cordon"},
		"drain":    {ok: "drain n2", fails: "drain n9", misused: "drain"},
		"uncordon": {ok: "uncordon n2", fails: "uncordon n9", misused: "uncordon --nope n1"},
		"rebalance": {ok: "rebalance --dry-run", fails: "AWAY rebalance", misused: "rebalance n1", object: true,
			code: "unreachable"},
		"forget":  {ok: "forget gone", fails: "forget n2", misused: "forget"},
		"events":  {ok: "events", fails: "AWAY events", misused: "events --since=bogus", code: "unreachable"},
		"replay":  {ok: "replay", fails: "AWAY replay", misused: "replay --from=bogus", object: true, code: "unreachable"},
		"journal": {fails: "AWAY journal a", misused: "journal --lines=x a", streams: true, code: "unreachable"},
		"key generate": {ok: "key generate --key-file " + key, fails: "key generate --key-file " + key,
			misused: "key generate x", object: true, code: "failed"},
		"key list": {ok: "key list", fails: "AWAY key list", misused: "key list x", object: true, code: "unreachable"},
		"key rotate": {ok: "key rotate", fails: "AWAY key rotate", misused: "key rotate --nope", object: true,
			code: "unreachable"},
		"join-command": {ok: "join-command", fails: "AWAY join-command", misused: "join-command x", object: true,
			code: "unreachable"},
		"notify test": {ok: "notify test", fails: "AWAY notify test", misused: "notify test x", object: true,
			code: "unreachable"},
		"backup": {ok: "backup " + filepath.Join(dir, "b"), fails: "AWAY backup b", misused: "backup", object: true,
			code: "unreachable"},
		"restore":    {fails: "restore none", misused: "restore", object: true, code: "failed"},
		"recover":    {fails: "recover --state-dir " + filepath.Join(dir, "none"), misused: "recover x", object: true, code: "failed"},
		"notify":     {misused: "notify"},
		"join":       {fails: "join nonsense 127.0.0.1:1", misused: "join", object: true},
		"drill":      {fails: "drill n2 --dry-run", misused: "drill n2 --for=1s", object: true, code: "conflict"},
		"leave":      {fails: "AWAY leave", misused: "leave n1", object: true, code: "unreachable"},
		"version":    {ok: "version", misused: "version x", object: true},
		"adopt":      {ok: "adopt --from-fleet=./a.service --dry-run", fails: "adopt none@n1", misused: "adopt"},
		"release":    {fails: "release none", misused: "release"},
		"destroy":    {ok: "destroy a.service", fails: "destroy none", misused: "destroy"},
		"daemon":     {misused: "daemon"},
		"demo":       {misused: "demo"},
		"dial-stdio": {misused: "dial-stdio"},
		"fence":      {misused: "fence /nowhere"},
		"ssh":        {misused: "ssh n1"},
		"key":        {misused: "key"},
		"completion": {misused: "completion"},
		"help":       {misused: "help start"},
	}
}

// addGone adds the record of a machine that left.
func (s *shell) addGone() {
	s.t.Helper()
	if err := s.Store.UpdateMachine(s.t.Context(), apitest.Machine(9).ID, func(m *cluster.Machine) error {
		m.Name, m.Departure, m.DepartureAt = "gone", cluster.Left, time.Now()
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
}

// someKeys are the keys of a cluster of one key.
type someKeys struct{}

func (someKeys) Keys(context.Context) (*api.KeyList, error) {
	m := apitest.Machine(1)
	return &api.KeyList{Keys: []api.KeyInfo{{ID: "k", Primary: true}},
		Machines: []api.KeyHolder{{Machine: m.ID, Name: m.Name, Live: true, Keys: []string{"k"}}}}, nil
}

func (k someKeys) Rotate(ctx context.Context, _ string) (*api.KeyList, error) { return k.Keys(ctx) }

func (k someKeys) FinishRotation(ctx context.Context, _ string) (*api.KeyList, error) {
	return k.Keys(ctx)
}

func (someKeys) JoinToken(context.Context, string) (*api.JoinToken, error) {
	return &api.JoinToken{Token: "t", Addresses: []string{"198.18.1.1:7374"}, Expires: time.Now()}, nil
}

// oneMachine is a machine that sees no other one.
type oneMachine struct{}

func (oneMachine) Connectivity(ctx context.Context) api.Connectivity {
	m := apitest.Machine(1)
	c := api.Connectivity{Asked: m.ID, Machines: []api.MachineRef{{ID: m.ID, Name: m.Name}}}
	c.Views = []api.Connections{oneMachine{}.Local(ctx, nil)}
	c.Sentences = c.Diagnose()
	return c
}

func (oneMachine) Local(context.Context, []string) api.Connections {
	return api.Connections{Machine: apitest.Machine(1).ID, Store: api.Answered}
}

// oneReceiver takes a test of notices.
func oneReceiver(context.Context, string) *api.NotifyReport {
	return &api.NotifyReport{Receivers: []api.NotifyResult{{Receiver: "json at a.example"}}}
}

// TestJSON: with -o json each verb prints JSON and nothing else on its standard
// output, whether it succeeds, fails or is used wrongly.
func TestJSON(t *testing.T) {
	s := newShell(t, 2, func(c *server.Config) {
		c.Keys, c.Hosts = someKeys{}, hostsOfUnits{}
		c.SendTest, c.Connectivity = oneReceiver, oneMachine{}
	})
	s.addGone()
	s.file("bad.service", "[Service\n")
	cases := jsonCases(t.TempDir())
	for _, verb := range verbsOf((&app{env: &ownProcess{}, in: strings.NewReader(""), out: io.Discard,
		err: io.Discard}).root(), "") {
		if _, ok := cases[verb]; !ok && !strings.HasPrefix(verb, "completion ") {
			t.Errorf("%s has no case here", verb)
		}
	}
	if out := s.must("-o", "json", "list-units"); out != "[]\n" {
		t.Errorf("a list of none is %q", out)
	}
	s.file("a.service", service)
	s.must("start", "./a.service")
	for _, verb := range sortedNames(cases) {
		tc := cases[verb]
		if verb == "destroy" {
			continue
		}
		t.Run(verb, func(t *testing.T) { tc.check(t, s) })
	}
	cases["destroy"].check(t, s)
}

// verbsOf lists the verbs below a command, and theirs.
func verbsOf(cmd *cobra.Command, prefix string) (list []string) {
	for _, c := range cmd.Commands() {
		list = append(list, prefix+c.Name())
		list = append(list, verbsOf(c, prefix+c.Name()+" ")...)
	}
	return list
}

func sortedNames(m map[string]jsonCase) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// runJSON runs a command line that asks for JSON; AWAY in it stands for a daemon that isn't there.
func runJSON(t *testing.T, s *shell, line string) (code int, out, errOut string) {
	t.Helper()
	args := []string{"-o", "json"}
	if rest, away := strings.CutPrefix(line, "AWAY "); away {
		line, args = rest, append(args, "--endpoint=unix:///nowhere/x.sock")
	}
	return s.try(append(args, strings.Fields(line)...)...)
}

func (tc jsonCase) check(t *testing.T, s *shell) {
	t.Helper()
	if tc.ok != "" {
		code, out, errOut := runJSON(t, s, tc.ok)
		if code != 0 {
			t.Errorf("%s: exit %d\n%s%s", tc.ok, code, out, errOut)
		}
		switch v := parsed(t, tc.ok, out, tc.streams).(type) {
		case []any:
			if tc.object {
				t.Errorf("%s answers with a list:\n%s", tc.ok, out)
			}
		case map[string]any:
			if !tc.object || v["error"] != nil {
				t.Errorf("%s answers with\n%s", tc.ok, out)
			}
		}
	}
	if tc.fails != "" {
		code, out, errOut := runJSON(t, s, tc.fails)
		if code != exitFailed || errOut == "" {
			t.Errorf("%s: exit %d\n%s%s", tc.fails, code, out, errOut)
		}
		v := parsed(t, tc.fails, out, tc.streams)
		if list, ok := v.([]any); ok && len(list) == 1 && tc.code == "" {
			v = list[0]
		}
		failure(t, tc.fails, v, tc.code)
	}
	code, out, errOut := runJSON(t, s, tc.misused)
	if code != exitUsage || !strings.Contains(errOut, "--help") {
		t.Errorf("%s: exit %d\n%s%s", tc.misused, code, out, errOut)
	}
	failure(t, tc.misused, parsed(t, tc.misused, out, tc.streams), "usage")
}

// parsed is the one value that was printed.
func parsed(t *testing.T, line, out string, streams bool) any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(out))
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%s prints no JSON: %v\n%s", line, err, out)
	}
	if _, err := dec.Token(); err != io.EOF {
		t.Errorf("%s prints more than one value:\n%s", line, out)
	}
	if streams && strings.Count(out, "\n") != 1 {
		t.Errorf("%s prints a value on several lines:\n%s", line, out)
	}
	names(t, line, v)
	return v
}

// failure checks an error's code, sentence and advice.
func failure(t *testing.T, line string, v any, code string) {
	t.Helper()
	m, _ := v.(map[string]any)
	e, _ := m["error"].(map[string]any)
	said, _ := e["code"].(string)
	message, _ := e["message"].(string)
	hint, _ := e["hint"].(string)
	bad := said == "" || message == "" || strings.Contains(message, "\n")
	if bad || code != "" && said != code || code == "usage" && hint == "" {
		t.Errorf("%s fails with %v, want the code %q, a sentence, and what to do", line, v, code)
	}
}

// names checks that one thing is called by one name.
func names(t *testing.T, line string, v any) {
	t.Helper()
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			names(t, line, e)
		}
	case map[string]any:
		for name, e := range v {
			switch name {
			case "name", "dstate", "desc", "machineID":
				t.Errorf("%s calls something %q: %v", line, name, e)
			case "error":
				if _, ok := e.(map[string]any); !ok {
					t.Errorf("%s has an error that is no object: %v", line, e)
				}
			}
			names(t, line, e)
		}
	}
}

// TestJSONOfSeveral: what failed of several stands among those that didn't.
func TestJSONOfSeveral(t *testing.T) {
	s := newShell(t, 2)
	s.file("a.service", service)
	s.file("bad.service", "[Service\n")
	for _, line := range []string{"start ./a.service ./bad.service none", "status a none", "cat a none", "cordon n1 n9",
		"verify a.service bad.service", "stop a none", "start ./a.service ./bad.service"} {
		code, out, _ := runJSON(t, s, line)
		list, _ := parsed(t, line, out, false).([]any)
		if want := len(strings.Fields(line)) - 1; code != exitFailed || len(list) != want {
			t.Errorf("%s: exit %d, %d elements\n%s", line, code, len(list), out)
			continue
		}
		bad := 0
		for _, e := range list {
			if e.(map[string]any)["error"] != nil {
				failure(t, line, e, "")
				bad++
			}
		}
		if bad == 0 || bad == len(list) {
			t.Errorf("%s: %d of %d failed\n%s", line, bad, len(list), out)
		}
	}
}

// TestJSONOfWhatEnds: an interrupted verb tells programs, too; a store that can't be reached is in each element.
func TestJSONOfWhatEnds(t *testing.T) {
	s := newShell(t, 1)
	s.file("a.service", service)
	s.must("start", "./a.service")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	var out, errOut bytes.Buffer
	if code := Run(ctx, []string{"--endpoint", s.Endpoint, "-o", "json", "events", "-f"}, nil, &out,
		&errOut); code != exitInterrupted {
		t.Errorf("events -f: exit %d\n%s", code, errOut.String())
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	for i, line := range lines {
		var v any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Errorf("line %d: %v: %s", i, err, line)
		}
		if i == len(lines)-1 {
			failure(t, "events -f", v, "interrupted")
		}
	}
	s.Store.SetReachable(false)
	apitest.Eventually(t, "the daemon notices", func() bool { _, live, _, _ := s.View.LastKnown(); return !live })
	for _, line := range []string{"list-units", "list-unit-files", "list-machines", "status a"} {
		_, out, _ := runJSON(t, s, line)
		list, _ := parsed(t, line, out, false).([]any)
		if len(list) != 1 || list[0].(map[string]any)["store"] == nil {
			t.Errorf("%s doesn't say that it is old:\n%s", line, out)
		}
	}
	_, text, _ := runJSON(t, s, "stop a")
	failure(t, "stop a", parsed(t, "stop a", text, false), "unavailable")
	s.Store.SetReachable(true)
}

func TestWantsJSON(t *testing.T) {
	for line, want := range map[string]bool{
		"list-units -o json": true, "-ojson list-units": true, "--output=json x": true, "--output json x": true,
		"-o=json":            true,
		"journal -fo json u": true, "list-units": false, "list-units -o text": false, "start -- -o json": false, "-o": false,
	} {
		if got := wantsJSON(strings.Fields(line)); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}
