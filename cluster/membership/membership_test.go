package membership

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestSilenceIsSuspectThenFailed(t *testing.T) {
	for _, n := range []int{3, 5} {
		// A busy machine may stretch it, once or twice.
		var faults []string
		for range 5 {
			if faults = silence(t, n); len(faults) == 0 {
				break
			}
			t.Logf("%d members: %s", n, strings.Join(faults, "; "))
		}
		if len(faults) > 0 {
			t.Errorf("%d members: no silence in five was told in time and in order", n)
		}
	}
}

// silence cuts one of n members off, and returns what the others didn't tell of it in time and in order.
func silence(t *testing.T, n int) (faults []string) {
	seats := gather(t, n, nil)
	defer func() {
		for _, s := range seats {
			s.Close()
		}
	}()
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	seats[n-1].cable.pulled.Store(true)
	start := time.Now()
	for _, s := range seats[:n-1] {
		if m := s.await(t, 60*time.Second, id(n), Suspect, Failed); m.State != Suspect {
			fault("went to %s without ever being suspect at %s", m.State, s.cfg.ID)
		}
	}
	for _, s := range seats[:n-1] {
		m := s.await(t, 60*time.Second, id(n), Failed)
		if seen := m.LastSeen.Sub(start); seen > 100*time.Millisecond || seen < -time.Second {
			fault("last seen %s from the silence at %s, want at or shortly before it", seen, s.cfg.ID)
		}
	}
	return faults
}

func TestSuspicionIsRefuted(t *testing.T) {
	seats := gather(t, 3, nil)
	victim := seats[2]
	victim.cable.pulled.Store(true)
	seats[0].await(t, 60*time.Second, id(3), Suspect)
	victim.cable.pulled.Store(false)
	// It is not always quick enough, and then has to come back from failed.
	for _, s := range seats {
		for i := range 3 {
			s.await(t, 60*time.Second, id(i+1), Alive)
		}
	}
}

func TestSuspicionWithoutOutcomeIsDropped(t *testing.T) {
	seats := gather(t, 2, nil)
	// A word from a confused member; memberlist itself suspects nobody.
	seats[0].suspect(id(2), time.Time{})
	m, _ := seats[0].find(id(2))
	if m.State != Suspect {
		t.Fatalf("state is %s at once, want suspect", m.State)
	}
	seats[0].await(t, 60*time.Second, id(2), Alive) // the next answered probe
}

// TestBlockedPacketsAreNoticed: a member whose packets are kept out, by a
// firewall perhaps, is reached by TCP, and that is known. It also holds memberlist to its words.
func TestBlockedPacketsAreNoticed(t *testing.T) {
	seats := gather(t, 3, nil)
	await := func(what string, ok func(Member) bool) {
		t.Helper()
		deadline := time.After(20 * time.Second)
		for {
			changed := seats[0].Changed()
			if m, _ := seats[0].find(id(2)); ok(m) {
				return
			}
			select {
			case <-changed:
			case <-deadline:
				t.Fatalf("not within 20 s: %s", what)
			}
		}
	}
	seats[1].cable.muffled.Store(true)
	await("it is reached by TCP", func(m Member) bool { return !m.OverTCP.IsZero() && m.State != Failed })
	seats[1].cable.muffled.Store(false)
	await("it is reached by UDP again", func(m Member) bool { return m.OverTCP.IsZero() && m.State == Alive })
}

func TestRejoinAfterFailureAtANewAddress(t *testing.T) {
	for _, meanwhile := range []State{Alive, Suspect, Failed} { // what the others take it for
		t.Run(string(meanwhile), func(t *testing.T) {
			seats := gather(t, 3, func(c *Config) { c.Tags = map[string]string{"run": "1"} })
			old := seats[2].Address()
			seats[2].Close() // no goodbye
			seats[0].await(t, 60*time.Second, id(3), meanwhile)
			back := sit(t, 3, func(c *Config) { c.Tags = map[string]string{"run": "2"} })
			if err := back.Join(t.Context(), []string{seats[0].Address(), seats[1].Address()}); err != nil {
				t.Fatal(err)
			}
			deadline := time.After(6 * time.Second) // trading state now and then would take longer
			for _, s := range seats[:2] {
				for {
					changed := s.Changed()
					m, _ := s.find(id(3))
					if m.State == Alive && m.Address == back.Address() && m.Tags["run"] == "2" {
						break
					}
					select {
					case <-changed:
					case <-deadline:
						t.Fatalf("%s sees %+v, want it alive at %s (formerly %s)", s.cfg.ID, m, back.Address(), old)
					}
				}
			}
		})
	}
}

func TestPartitionHeals(t *testing.T) {
	seats := gather(t, 3, nil)
	seats[2].cable.pulled.Store(true)
	seats[0].await(t, 60*time.Second, id(3), Failed)
	seats[1].await(t, 60*time.Second, id(3), Failed)
	seats[2].await(t, 60*time.Second, id(1), Failed)
	seats[2].await(t, 60*time.Second, id(2), Failed)
	seats[2].cable.pulled.Store(false)
	start := time.Now()
	for _, s := range seats {
		for i := range 3 {
			s.await(t, 60*time.Second, id(i+1), Alive)
		}
	}
	t.Logf("all alive %s after healing", time.Since(start).Round(time.Millisecond))
}

func TestLeaveIsNotFailure(t *testing.T) {
	seats := gather(t, 3, nil)
	if err := seats[1].Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := seats[1].Close(); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*seat{seats[0], seats[2]} {
		if m := s.await(t, 60*time.Second, id(2), Left, Failed); m.State != Left {
			t.Errorf("a member that left is %s, want left", m.State)
		}
	}
	if err := seats[1].Leave(t.Context()); err != nil {
		t.Errorf("second Leave: %v", err)
	}
	back := sit(t, 2, nil)
	if err := back.Join(t.Context(), []string{seats[2].Address()}); err != nil {
		t.Fatal(err)
	}
	seats[0].await(t, 60*time.Second, id(2), Alive)
}

func TestTagsTravel(t *testing.T) {
	seats := gather(t, 2, nil)
	if err := seats[1].SetTags(map[string]string{"leaving": "restart"}); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(60 * time.Second)
	for {
		changed := seats[0].Changed()
		if m, _ := seats[0].find(id(2)); m.Tags["leaving"] == "restart" {
			break
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatal("new tags didn't arrive in 5 s")
		}
	}
	if err := seats[1].SetTags(map[string]string{"x": strings.Repeat("y", 600)}); err == nil {
		t.Error("tags that don't fit a packet were taken")
	}
}

func TestSecondMemberWithOneID(t *testing.T) {
	told := make(chan *ConflictError, 8)
	seats := gather(t, 2, func(c *Config) { c.OnConflict = func(e *ConflictError) { told <- e } })
	twin := sit(t, 2, nil)
	err := twin.Join(t.Context(), []string{seats[0].Address()})
	var conflict *ConflictError
	if !errors.As(err, &conflict) || conflict.ID != id(2) || conflict.Address != seats[1].Address() {
		t.Fatalf("join of a twin: %v, want a ConflictError naming %s", err, seats[1].Address())
	}
	if !strings.Contains(err.Error(), "machine-id-setup") {
		t.Errorf("%q doesn't say what to do", err)
	}
	m, _ := seats[0].find(id(2))
	if m.Address != seats[1].Address() || m.State != Alive {
		t.Errorf("the first of the twins is %+v, want alive at %s", m, seats[1].Address())
	}
	// A twin that met the first one itself makes it speak up, too.
	if err := twin.Join(t.Context(), []string{seats[1].Address()}); !errors.As(err, &conflict) {
		t.Errorf("second join of a twin: %v", err)
	}
	select {
	case e := <-told:
		if e.ID != id(2) {
			t.Errorf("conflict over %s, want %s", e.ID, id(2))
		}
	case <-time.After(60 * time.Second):
		t.Error("the first of the twins never heard of the conflict")
	}
}

func TestJoinErrors(t *testing.T) {
	plain := sit(t, 1, nil)
	secret := sit(t, 2, func(c *Config) { c.SecretKey = []byte("0123456789abcdef0123456789abcdef") })
	for _, c := range []struct {
		name  string
		from  *seat
		seeds []string
		want  []string // parts of the error; none for success
	}{
		{"none", plain, nil, []string{"no seeds", "--join"}},
		{"nobody there", plain, []string{"127.0.0.1:1"}, []string{"127.0.0.1:1: connection refused", "check that"}},
		{"no port", plain, []string{"127.0.0.1"}, []string{"127.0.0.1: give host:port"}},
		{"bad port", plain, []string{"127.0.0.1:http"}, []string{`"http" is not a port`}},
		{"no host", plain, []string{":7946"}, []string{"no host"}},
		{"no such host", plain, []string{"nobody.invalid:7946"}, []string{"nobody.invalid:7946: "}},
		{"several", plain, []string{"127.0.0.1:1", "127.0.0.1:2"}, []string{"127.0.0.1:1: conn", "127.0.0.1:2: conn"}},
		{"no key", plain, []string{secret.Address()}, []string{secret.Address(), "cluster key"}},
		{"key on one side", secret, []string{plain.Address()}, []string{plain.Address(), "cluster key"}},
		{"itself", plain, []string{plain.Address()}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			err := c.from.Join(ctx, c.seeds)
			if len(c.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q lacks %q", err, w)
				}
			}
			if strings.ContainsAny(err.Error(), "\n\t") {
				t.Errorf("%q is more than a line", err)
			}
		})
	}
}

func TestEncryptedClusterForms(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	seats := gather(t, 3, func(c *Config) { c.SecretKey = key })
	seats[2].cable.pulled.Store(true)
	if m := seats[0].await(t, 60*time.Second, id(3), Suspect, Failed); m.State != Suspect {
		t.Error("no suspicion in an encrypted cluster")
	}
}

func TestOpenRefusesBadConfig(t *testing.T) {
	busy := sit(t, 1, nil)
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"no ID", Config{}, "machine-id"},
		{"too eager", Config{ID: id(9), ProbeInterval: time.Millisecond}, "choose a longer one"},
		{"not an IP", Config{ID: id(9), BindAddr: "localhost"}, "not an IP"},
		{"port taken", Config{ID: id(9), BindAddr: "127.0.0.1", BindPort: busy.cable.GetAutoBindPort()},
			"choose a free address"},
		{"odd key", Config{ID: id(9), BindAddr: "127.0.0.1", SecretKey: []byte("short")}, "16, 24 or 32"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Logger = quiet()
			m, err := Open(c.cfg)
			if err == nil {
				m.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q lacks %q", err, c.want)
			}
		})
	}
}

// The first answer that doesn't come in time is read from memberlist's log. Whoever
// misses it first tells the others, who may have no probe of their own under way by then.
func TestFirstUnansweredPacketIsNoted(t *testing.T) {
	seats := gather(t, 3, nil)
	seats[1].cable.pulled.Store(true)
	for end := time.Now().Add(60 * time.Second); ; {
		first, last := seats[0].Changed(), seats[2].Changed()
		a, _ := seats[0].find(id(2))
		b, _ := seats[2].find(id(2))
		if !a.Unanswered.IsZero() || !b.Unanswered.IsZero() {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("no answer was ever missing: %+v, %+v", a, b)
		}
		if a.State == Failed && b.State == Failed { // on a machine that is starved of CPU nobody was there to see it
			seats[1].cable.pulled.Store(false)
			seats[0].await(t, 60*time.Second, id(2), Alive)
			seats[2].await(t, 60*time.Second, id(2), Alive)
			seats[1].cable.pulled.Store(true)
			continue
		}
		select {
		case <-first:
		case <-last:
		case <-time.After(time.Until(end)):
		}
	}
}
