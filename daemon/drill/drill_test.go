package drill

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fleettop/cluster"
	"fleettop/units"
)

// threeVoters is a cluster of three machines that vote and are up.
func threeVoters() (*cluster.Snapshot, map[string]cluster.Health) {
	snap := cluster.NewSnapshot(7)
	snap.Leader = cluster.Leader{Machine: "n1", Run: "r"}
	health := map[string]cluster.Health{}
	for _, id := range []string{"n1", "n2", "n3"} {
		snap.Machines[id] = cluster.Machine{ID: id, Name: id, Seat: cluster.Voter, EtcdPeerURL: "https://" + id}
		snap.Runs[id] = cluster.Run{Machine: id}
		health[id] = cluster.Health{State: cluster.Up}
	}
	return snap, health
}

// TestCheck: each reason for which a drill is refused has its sentence and what to do.
func TestCheck(t *testing.T) {
	on := func(snap *cluster.Snapshot, machine, unit, content string) {
		k := cluster.UnitOnMachine{Machine: machine, Unit: unit}
		snap.Assignments[k] = cluster.Assignment{Machine: machine, Unit: unit, Content: content, Epoch: 5}
	}
	change := func(snap *cluster.Snapshot, id string, f func(*cluster.Machine)) {
		m := snap.Machines[id]
		f(&m)
		snap.Machines[id] = m
	}
	for _, c := range []struct {
		want  string
		setUp func(*cluster.Snapshot, map[string]cluster.Health)
	}{
		{"", func(*cluster.Snapshot, map[string]cluster.Health) {}},
		{"no machine leads the cluster", func(s *cluster.Snapshot, _ map[string]cluster.Health) { s.Leader = cluster.Leader{} }},
		{"failovers are held: too many", func(s *cluster.Snapshot, _ map[string]cluster.Health) { s.Leader.Hold = "too many" }},
		{"a drill of n2 is under way", func(s *cluster.Snapshot, _ map[string]cluster.Health) {
			change(s, "n2", func(m *cluster.Machine) { m.Drill = cluster.Drill{ID: "other"} })
		}},
		{"", func(s *cluster.Snapshot, _ map[string]cluster.Health) { // it is this one
			change(s, "n3", func(m *cluster.Machine) { m.Drill = cluster.Drill{ID: "own"} })
		}},
		{"", func(s *cluster.Snapshot, _ map[string]cluster.Health) {
			change(s, "n2", func(m *cluster.Machine) { m.Drill = cluster.Drill{ID: "other", Refused: "no"} })
		}},
		{"n2 is being drained", func(s *cluster.Snapshot, _ map[string]cluster.Health) {
			change(s, "n2", func(m *cluster.Machine) { m.Schedule = cluster.Drained })
			on(s, "n2", "a.service", "")
		}},
		{"a rebalance moves units of n2", func(s *cluster.Snapshot, _ map[string]cluster.Health) {
			change(s, "n2", func(m *cluster.Machine) { m.Sheds = []cluster.Shed{{Unit: "a.service", Epoch: 5}} })
			on(s, "n2", "a.service", "")
		}},
		{"n3 is failed: a drill needs a machine that is up", func(_ *cluster.Snapshot, h map[string]cluster.Health) {
			h["n3"] = cluster.Health{State: cluster.Failed}
		}},
		{"n3 is cordoned: `fleettop uncordon n3` first", func(s *cluster.Snapshot, _ map[string]cluster.Health) {
			change(s, "n3", func(m *cluster.Machine) { m.Schedule = cluster.Cordoned })
		}},
		{"n2 is suspect", func(_ *cluster.Snapshot, h map[string]cluster.Health) {
			h["n2"] = cluster.Health{State: cluster.Suspect}
		}},
		{"n3 is the only machine that takes units", func(s *cluster.Snapshot, _ map[string]cluster.Health) {
			change(s, "n1", func(m *cluster.Machine) { m.Schedule = cluster.Cordoned })
			change(s, "n2", func(m *cluster.Machine) { m.Schedule = cluster.Cordoned })
		}},
		{"n2 is becoming a voter", func(s *cluster.Snapshot, _ map[string]cluster.Health) {
			change(s, "n2", func(m *cluster.Machine) { m.Seat = cluster.Learner })
		}},
		{"n2 is a voter and failed", func(_ *cluster.Snapshot, h map[string]cluster.Health) {
			h["n2"] = cluster.Health{State: cluster.Failed}
		}},
		{"the store would lose its quorum: 0 of 1 voter would be left", func(s *cluster.Snapshot, _ map[string]cluster.Health) {
			change(s, "n1", func(m *cluster.Machine) { m.Seat = cluster.NoSeat })
			change(s, "n2", func(m *cluster.Machine) { m.Seat = cluster.NoSeat })
		}},
		{"db.service is an exclusive unit on n3", func(s *cluster.Snapshot, _ map[string]cluster.Health) {
			on(s, "n3", "db.service", "[Service]\nExecStart=/bin/true\n[X-Fleet]\nExclusive=true\n")
		}},
		{"", func(s *cluster.Snapshot, _ map[string]cluster.Health) {
			on(s, "n2", "db.service", "[Service]\nExecStart=/bin/true\n[X-Fleet]\nExclusive=true\n")
		}},
	} {
		snap, health := threeVoters()
		c.setUp(snap, health)
		r := Check(snap, health, "n3", "own")
		switch {
		case c.want == "" && r != nil:
			t.Errorf("refused: %v", r)
		case c.want != "" && (r == nil || !strings.Contains(r.Error(), c.want) || r.Advice == ""):
			t.Errorf("%v; expected %q", r, c.want)
		}
	}
}

// TestMark: a drill lasts until its time since the boot, and no boot outlives it.
func TestMark(t *testing.T) {
	dir := t.TempDir()
	m := mark{ID: "d", Boot: "b1", Until: 90 * time.Second}
	if err := m.write(dir); err != nil {
		t.Fatal(err)
	}
	read, known, err := readMark(dir)
	if err != nil || !known || read != m {
		t.Fatalf("read %+v, %v, %v", read, known, err)
	}
	for _, c := range []struct {
		boot      string
		now, want time.Duration
	}{
		{"b1", 80 * time.Second, 10 * time.Second}, {"b1", 100 * time.Second, 0}, {"b2", 80 * time.Second, 0},
	} {
		if left := m.left(c.boot, c.now); left != c.want {
			t.Errorf("at %s of %s %s are left, want %s", c.now, c.boot, left, c.want)
		}
	}
	if left := (mark{Boot: "b1", Until: time.Hour}).left("b1", 0); left != 0 {
		t.Errorf("a mark that no drill made keeps the machine out for %s", left)
	}
	if err := removeMark(dir); err != nil {
		t.Fatal(err)
	}
	if _, known, _ := readMark(dir); known {
		t.Error("the mark is still there")
	}
}

// TestSilentPorts: the kernel neither accepts nor refuses for them.
func TestSilentPorts(t *testing.T) {
	dial := func(address string) error {
		conn, err := net.DialTimeout("tcp", address, 300*time.Millisecond)
		if err == nil {
			conn.Close()
		}
		return err
	}
	timedOut := func(err error) bool {
		timeout, ok := err.(net.Error)
		return ok && timeout.Timeout()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, port := l.Addr().String(), l.Addr().(*net.TCPAddr).Port
	if release, err := holdPorts(t.Context(), "127.0.0.1", port, 1); err == nil {
		t.Error("a port that is taken was silenced")
	} else {
		release()
	}
	l.Close()
	release, err := holdPorts(t.Context(), "127.0.0.1", port, 1)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := dial(address); !timedOut(err) {
			t.Errorf("a silent port: %v; expected no answer", err)
		}
	}
	if u, err := net.ListenPacket("udp", address); err == nil {
		u.Close()
		t.Error("its datagrams would be refused")
	}
	release()
	if err := dial(address); err == nil || timedOut(err) {
		t.Errorf("a port that is given back: %v; expected a refusal", err)
	}
}

// TestClosedSocketsReset: the peers learn at once, when the drill is over.
func TestClosedSocketsReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	conn.Close() // the socket is open still, by fd
	if listens(fd) {
		t.Error("a connection counts as a listener")
	}
	closeAll([]int{fd})
	if err := peer.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the peer read %v; expected a reset", err)
	}
}

// TestLethal: a stop kills a service at once, and undoes what it did beside its processes.
func TestLethal(t *testing.T) {
	const service = "[Service]\nExecStart=/bin/sleep 9\nExecStop=/bin/slow\nRestart=always\n"
	for _, c := range []struct {
		name, content   string
		has, hasNot     []string
		unchanged, bare bool
	}{
		{name: "a.service", content: service, has: []string{"KillSignal=SIGKILL", "Restart=no", "\nExecStop=\n"},
			hasNot: []string{"RefuseManualStop", "ExecStopPost"}},
		{name: "a.service", content: "[Unit]\nRefuseManualStop=yes\n" + service, has: []string{"RefuseManualStop=no"}},
		{name: "ip.service", content: "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecStop=/bin/undo\n",
			has: []string{"KillSignal=SIGKILL"}, hasNot: []string{"\nExecStop=\n"}},
		{name: "a.timer", content: "[Timer]\nOnCalendar=daily\n", unchanged: true},
	} {
		got := lethal(c.name, c.content)
		if c.unchanged && got != c.content {
			t.Errorf("%s became %q", c.name, got)
		}
		if _, err := units.ParseFile(got); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, want := range c.has {
			if !strings.Contains(got, want) {
				t.Errorf("%s lacks %q: %s", c.name, want, got)
			}
		}
		for _, not := range c.hasNot {
			if strings.Contains(got, not) {
				t.Errorf("%s has %q: %s", c.name, not, got)
			}
		}
	}
}
