package membership

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// refusals collects what a member tells of those it refused.
type refusals struct {
	mu   sync.Mutex
	list []string
}

func (r *refusals) add(source, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, source+" "+why)
}

func (r *refusals) has(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(strings.Join(r.list, "\n"), text)
}

func secret(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func TestKeysChangeWhileItRuns(t *testing.T) {
	open := func(id string, refused func(string, string), use []byte, others ...[]byte) *Membership {
		m, err := Open(Config{ID: id, BindAddr: "127.0.0.1", SecretKey: use, OtherKeys: others, Refused: refused,
			Logger: quiet(), ProbeInterval: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		return m
	}
	set := func(m *Membership, use []byte, others ...[]byte) {
		t.Helper()
		if err := m.SetKeys(use, others); err != nil {
			t.Fatal(err)
		}
	}
	old, next := secret(1), secret(2)
	var said refusals
	a, b := open("a", said.add, old), open("b", nil, old)
	join := func(m *Membership) error { return m.Join(t.Context(), []string{a.Address()}) }
	if err := join(b); err != nil {
		t.Fatal(err)
	}
	alive := func() {
		t.Helper()
		// For a second on end: a busy machine may be suspected, but not for long.
		began := time.Now()
		for since := began; time.Since(since) < time.Second; time.Sleep(20 * time.Millisecond) {
			for _, m := range []*Membership{a, b} {
				for _, x := range m.Members() {
					if x.State == Alive {
						continue
					}
					if since = time.Now(); since.Sub(began) > 30*time.Second {
						t.Fatalf("%s is %s for 30 s", x.ID, x.State)
					}
				}
			}
		}
	}
	set(a, old, next)
	set(b, old, next)
	set(a, next, old) // a sends with what b accepts
	alive()
	set(b, next, old)
	set(a, next)
	set(b, next)
	alive()
	if len(a.keyring.GetKeys()) != 1 {
		t.Errorf("%d keys are accepted", len(a.keyring.GetKeys()))
	}

	late := open("late", nil, old)
	if err := join(late); err == nil || !strings.Contains(err.Error(), "join-command") {
		t.Errorf("with the dropped key: %v", err)
	}
	plain := open("plain", nil, nil)
	if err := join(plain); err == nil {
		t.Error("somebody who speaks in clear could join")
	}
	if err := plain.SetKeys(next, nil); err == nil {
		t.Error("a member without a key got one while it runs")
	}
	for _, why := range []string{"127.0.0.1", "not one of ours", "in clear"} {
		if !said.has(why) {
			t.Errorf("nothing about %q was told: %v", why, said.list)
		}
	}
	if n := len(a.Members()); n != 2 {
		t.Errorf("%d members", n)
	}
}

func TestRefusalOf(t *testing.T) {
	for line, want := range map[string]string{
		"memberlist: Decrypt packet failed: no installed keys could decrypt the message " +
			"from=127.0.0.1:1": "127.0.0.1:1",
		"memberlist: failed to receive: encryption is configured but remote state is not encrypted " +
			"from=[fd00::1]:2": "[fd00::1]:2",
		"memberlist: failed to receive: no installed keys could decrypt the message " +
			"from=10.0.0.1:3": "10.0.0.1:3",
		"memberlist: Failed push/pull merge: member 'x' has conflicting node ID from=10.0.0.1:3": "",
		"memberlist: Suspect x has failed, no acks received":                                     "",
	} {
		if source, why, ok := refusalOf(line); source != want || ok != (want != "") || ok != (why != "") {
			t.Errorf("%s: %q %q %v", line, source, why, ok)
		}
	}
}
