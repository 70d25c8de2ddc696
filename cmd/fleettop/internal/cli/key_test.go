package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/daemon/api/server"
	"fleettop/daemon/keys"
)

// keeper is a cluster's keys as a test wants them to be.
type keeper struct {
	lists []api.KeyList // answers, one after the other; the last one stays
	asked int
}

func (k *keeper) Keys(context.Context) (*api.KeyList, error) {
	k.asked++
	return &k.lists[min(k.asked, len(k.lists))-1], nil
}

func (k *keeper) Rotate(context.Context, string) (*api.KeyList, error) {
	return &api.KeyList{Text: "key 22 was made"}, nil
}

func (k *keeper) FinishRotation(context.Context, string) (*api.KeyList, error) {
	return nil, api.Refuse(api.CodeConflict, "begin one", "no rotation is under way")
}

func (k *keeper) JoinToken(context.Context, string) (*api.JoinToken, error) {
	return &api.JoinToken{Token: "ftj1-x", Addresses: []string{"198.18.1.1:7374", "198.18.1.2:7374"},
		Expires: time.Unix(1e9, 0)}, nil
}

func holders(ids ...string) []api.KeyHolder {
	return []api.KeyHolder{{Name: "n1", Live: true, Keys: ids}, {Name: "n2", Live: true, Keys: ids},
		{Name: "n3", Keys: []string{"11"}}}
}

func command(t *testing.T, endpoint string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Run(t.Context(), append([]string{"--endpoint", endpoint}, args...), strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

func TestKeyGenerate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	code, out, errOut := command(t, "", "key", "generate", "--key-file", path)
	ring, err := keys.Load(path)
	if code != 0 || err != nil || !strings.Contains(out, ring.Primary().ID()) {
		t.Fatalf("%d, %v\n%s%s", code, err, out, errOut)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(raw))
	if strings.Contains(out+errOut, lines[len(lines)-1]) {
		t.Error("it shows the secret")
	}
	if code, _, errOut = command(t, "", "key", "generate", "--key-file", path); code != exitFailed ||
		!strings.Contains(errOut, "key rotate") {
		t.Errorf("a second time: %d\n%s", code, errOut)
	}
	if again, err := keys.Load(path); err != nil || !again.Equal(ring) {
		t.Errorf("the key was replaced: %v", err)
	}
	code, out, _ = command(t, "", "key", "generate", "-o", "json", "--key-file", path+"2")
	var said map[string]string
	if err := json.Unmarshal([]byte(out), &said); code != 0 || err != nil || said["file"] != path+"2" ||
		len(said["key"]) != 16 || len(said) != 2 {
		t.Errorf("%d %v: %s", code, err, out)
	}
}

func TestKeyRotateTellsHowItGoes(t *testing.T) {
	k := &keeper{lists: []api.KeyList{
		{Phase: "spreading", Keys: []api.KeyInfo{{ID: "11"}, {ID: "22"}}, Machines: holders("11"),
			Waiting: []string{"n1", "n2", "n3"}},
		{Phase: "retiring", Keys: []api.KeyInfo{{ID: "22"}, {ID: "11"}}, Machines: holders("11", "22"),
			Waiting: []string{"n2", "n3"}},
		{Phase: "retiring", Keys: []api.KeyInfo{{ID: "22", Primary: true, Newest: true}, {ID: "11"}},
			Machines: holders("22", "11"), Waiting: []string{"n3"}},
	}}
	c := apitest.Start(t, 1, func(cfg *server.Config) { cfg.Keys = k })
	code, out, errOut := command(t, c.Endpoint, "key", "rotate")
	want := []string{"key 22 was made", "spreading: waiting for n1, n2", "retiring: waiting for n2",
		"key 22 is used. The old one is accepted for machines that are off: n3."}
	for line := range strings.Lines(out) {
		if len(want) > 0 && strings.TrimSpace(line) == want[0] {
			want = want[1:]
		}
	}
	if code != 0 || len(want) > 0 {
		t.Errorf("%d, not said: %q\n%s%s", code, want, out, errOut)
	}
	if code, out, _ = command(t, c.Endpoint, "key", "list"); code != 0 || !strings.Contains(out, "22  used, new") ||
		!strings.Contains(out, "off: n3") {
		t.Errorf("%d\n%s", code, out)
	}
	k.lists = []api.KeyList{{Keys: []api.KeyInfo{{ID: "22", Primary: true, Newest: true}}, Machines: holders("22"),
		Waiting: []string{"n3"}}}
	if code, out, _ = command(t, c.Endpoint, "key", "list"); code != 0 || !strings.Contains(out, "join-command") ||
		!strings.Contains(out, "n3") {
		t.Errorf("%d\n%s", code, out)
	}
	if code, _, errOut = command(t, c.Endpoint, "key", "rotate", "--finish"); code != exitFailed ||
		!strings.Contains(errOut, "no rotation is under way: begin one") {
		t.Errorf("%d\n%s", code, errOut)
	}
}

func TestJoinCommandPrintsOneLine(t *testing.T) {
	c := apitest.Start(t, 1, func(cfg *server.Config) { cfg.Keys = &keeper{} })
	code, out, errOut := command(t, c.Endpoint, "join-command")
	if code != 0 || out != "sudo fleettop join --start ftj1-x 198.18.1.1:7374 198.18.1.2:7374\n" ||
		!strings.Contains(errOut, "one machine") {
		t.Errorf("%d\n%s%s", code, out, errOut)
	}
	for _, args := range [][]string{{"join"}, {"join", "ftj1-x"}, {"join", "-", "198.18.1.1"},
		{"join", "ftj1-x", "198.18.1.1"}} {
		all := slices.Concat(args, []string{"--key-file", filepath.Join(t.TempDir(), "key"), "--state-dir", t.TempDir()})
		if code, _, errOut := command(t, c.Endpoint, all...); code == 0 || !strings.Contains(errOut, "join-command") {
			t.Errorf("%v: %d\n%s", args, code, errOut)
		}
	}
}

func TestKeysOfADaemonWithoutOne(t *testing.T) {
	c := apitest.Start(t, 1)
	for _, args := range [][]string{{"key", "list"}, {"key", "rotate"}, {"join-command"}} {
		if code, _, errOut := command(t, c.Endpoint, args...); code != exitFailed ||
			!strings.Contains(errOut, "key generate") {
			t.Errorf("%v: %d\n%s", args, code, errOut)
		}
	}
}
