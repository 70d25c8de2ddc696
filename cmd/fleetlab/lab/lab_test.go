package lab

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNewRefuses(t *testing.T) {
	for _, opts := range []Options{
		{Name: "a-b"}, {Name: "A"}, {Name: "1a"}, {Name: "abcdefghijklmnopq"}, {Name: "../x"},
		{Subnet: "10.0.0.0/16"}, {Subnet: "10.0.0.1/24"}, {Subnet: "fd00::/64"}, {Subnet: "x"},
	} {
		if _, err := New(opts); err == nil || !strings.Contains(err.Error(), "use ") {
			t.Errorf("New(%+v): %v; want an error that says what to use", opts, err)
		}
	}
	l, err := New(Options{})
	if err != nil || l.Name() != "lab" || l.Dir() != "/var/lib/fleetlab/lab" {
		t.Errorf("New of nothing: %v, %v", l, err)
	}
}

func TestOpenOfNoLab(t *testing.T) {
	if _, err := Open(Options{Name: "nosuchlab"}); !errors.Is(err, ErrNotUp) {
		t.Errorf("got %v", err)
	}
}

func TestMachineByName(t *testing.T) {
	l, err := New(Options{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	l.adopt(t.TempDir(), newLabState("x", netip.MustParsePrefix("198.18.7.0/24"), 3))
	for _, name := range []string{"n2", "2"} {
		if m, err := l.Machine(name); err != nil || m.Name != "n2" || m.IP.String() != "198.18.7.2" {
			t.Errorf("Machine(%q): %+v, %v", name, m, err)
		}
	}
	if _, err := l.Machine("n4"); err == nil || !strings.Contains(err.Error(), "n1 to n3") {
		t.Errorf("Machine(n4): %v", err)
	}
	if got := l.Gateway().String(); got != "198.18.7.254" {
		t.Errorf("gateway %s", got)
	}
}

func TestChooseSubnet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z][a-z0-9]{0,15}`).Draw(t, "name")
		var taken []netip.Prefix
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, labSubnets-1), 0, 40).Draw(t, "taken") {
			taken = append(taken, nthSubnet(n))
		}
		got, err := chooseSubnet(name, taken)
		if err != nil {
			t.Fatal(err)
		}
		if got.Bits() != 24 || got != got.Masked() || !labSpace.Contains(got.Addr()) {
			t.Fatalf("%s is no /24 of %s", got, labSpace)
		}
		if slices.Contains(taken, got) {
			t.Fatalf("%s is taken", got)
		}
		free, err := chooseSubnet(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(taken, free) && got != free {
			t.Fatalf("%s, but %s is free and is the name's own", got, free)
		}
	})
}

func TestChooseSubnetOfNone(t *testing.T) {
	if got, err := chooseSubnet("x", []netip.Prefix{netip.MustParsePrefix("198.0.0.0/8")}); err == nil {
		t.Errorf("got %s in a network that is taken", got)
	}
}

func TestLabState(t *testing.T) {
	dir := t.TempDir()
	want := newLabState("x", netip.MustParsePrefix("198.18.7.0/24"), 2)
	if err := writeLabState(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := readLabState(dir)
	if err != nil || got.Subnet != want.Subnet || got.Owner != want.Owner || !slices.Equal(got.Machines, want.Machines) {
		t.Errorf("read %+v, %v; wrote %+v", got, err, want)
	}
	if !got.Owner.alive() || got.Owner.PID != os.Getpid() {
		t.Errorf("owner %+v isn't this process", got.Owner)
	}
	if a, b := got.Machines[0].MachineID, got.Machines[1].MachineID; a == b || len(a) != 32 ||
		strings.Trim(a, "0123456789abcdef") != "" {
		t.Errorf("machine-ids %s, %s", a, b)
	}
}

func TestProcess(t *testing.T) {
	self := thisProcess(os.Getpid())
	if !self.alive() {
		t.Error("this process isn't alive")
	}
	later := self
	later.Start++
	if later.alive() {
		t.Error("another process with the same PID is taken for this one")
	}
	if (process{}).alive() {
		t.Error("no process is alive")
	}
	stat, err := parseStat("12 (a) b (c) S 1 12 12 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 2")
	if err != nil || stat.state != 'S' || stat.start != 98765 {
		t.Errorf("parsed %+v, %v", stat, err)
	}
	for _, bad := range []string{"", "1 (x) S 1", "1 (x) S 1 12 12 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 x"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("parsed %q", bad)
		}
	}
}

func TestMachineState(t *testing.T) {
	l, err := New(Options{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	l.adopt(t.TempDir(), newLabState("x", netip.MustParsePrefix("198.18.7.0/24"), 1))
	m := l.Machines()[0]
	if err := m.Slow(1, 0); !errors.Is(err, ErrNotUp) {
		t.Errorf("slow on a machine without files: %v", err)
	}
	if err := os.MkdirAll(m.dir(), 0o755); err != nil {
		t.Fatal(err)
	}
	const rounds = 20
	done := make(chan error, rounds)
	for range rounds {
		go func() {
			done <- m.change(func(st *machineState) error { st.Boots++; return nil })
		}()
	}
	for range rounds {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if st, err := m.readState(); err != nil || st.Boots != rounds {
		t.Errorf("%d changes at once made %d (%v)", rounds, st.Boots, err)
	}
	if err := m.Lossy(3); err != nil {
		t.Fatal(err)
	}
	if got := m.Cable(); got != "0s ± 0s, 3 % lost, each way" {
		t.Errorf("cable of %s", got)
	}
	if err := m.Cut(); err != nil || m.Cable() != "cut" {
		t.Errorf("cut: %v, cable of %s", err, m.Cable())
	}
	if _, err := m.Exec(t.Context(), "true"); !errors.Is(err, ErrOff) {
		t.Errorf("exec on a machine that is off: %v", err)
	}
	if err := m.Freeze(); !errors.Is(err, ErrOff) {
		t.Errorf("freeze of a machine that is off: %v", err)
	}
}

func TestRegister(t *testing.T) {
	reg := register(filepath.Join(t.TempDir(), "reg"))
	if names, err := reg.names(); err != nil || len(names) != 0 {
		t.Errorf("names of nothing: %v, %v", names, err)
	}
	if err := os.Mkdir(string(reg), 0o755); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := writeLabState(dir, newLabState("a", nthSubnet(9), 1)); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"b": "/nowhere", "a": dir} {
		if err := reg.add(name, dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(string(reg), ".lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if names, err := reg.names(); err != nil || !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("names: %v, %v", names, err)
	}
	if got := reg.subnets(); !slices.Equal(got, []netip.Prefix{nthSubnet(9)}) {
		t.Errorf("subnets: %v", got)
	}
	if err := reg.remove("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := reg.find("a"); !errors.Is(err, ErrNotUp) {
		t.Errorf("find what was removed: %v", err)
	}
}

func TestRemoveLabLeavesOthersFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	for _, path := range []string{"n1/root/etc", "n12/root", "notes"} {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeLabState(dir, labState{}); err != nil {
		t.Fatal(err)
	}
	if err := removeLab(dir); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || !slices.Equal(left, []string{filepath.Join(dir, "notes")}) {
		t.Errorf("left %v, %v", left, err)
	}
	if err := checkVacant(dir); err == nil {
		t.Error("a directory with notes is vacant")
	}
	if err := os.Remove(left[0]); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(checkVacant(dir), removeLab(dir), removeLab(dir), checkVacant(dir)); err != nil {
		t.Error(err)
	}
	if exists(dir) {
		t.Error("its directory is left")
	}
}

func TestMissingTools(t *testing.T) {
	look := func(name string) (string, error) {
		if name == "systemd-nspawn" || name == "dbus-daemon" {
			return "", errors.New("no such file")
		}
		return "/bin/" + name, nil
	}
	err := missingTools(tools, look)
	if err == nil || err.Error() != "this host lacks systemd-nspawn, dbus-daemon: apt-get install -y systemd-container dbus" {
		t.Errorf("got %v", err)
	}
	if err := missingTools(tools, func(string) (string, error) { return "", nil }); err != nil {
		t.Errorf("with all of them: %v", err)
	}
}
