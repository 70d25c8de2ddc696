package schedule

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/cluster"
	"fleettop/units"
)

var noon = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

// IDs of machines, of which idB and idC begin the same way.
const (
	idA = "6d3c27f6a1b04bb1a3a0d0a4c7e6f501"
	idB = "85c0c595b8d24f0ab1f4c6f2a6f0a2b3"
	idC = "85c0c5950e1d4e52b4a1c29d7a3f1d44"
)

// scene is a cluster under construction.
type scene struct {
	snap   *cluster.Snapshot
	health map[string]cluster.Health
	hold   string
	epoch  int64
}

func newScene(machines ...string) *scene {
	s := &scene{snap: cluster.NewSnapshot(1000), health: map[string]cluster.Health{}}
	for _, m := range machines {
		s.machine(m)
	}
	return s
}

func (s *scene) machine(id string, metadata ...string) *scene {
	m := cluster.Machine{ID: id, Name: id, Metadata: map[string]string{}}
	for _, kv := range metadata {
		k, v, _ := strings.Cut(kv, "=")
		m.Metadata[k] = v
	}
	s.snap.Machines[id] = m
	s.health[id] = cluster.Health{State: cluster.Up}
	return s
}

// fences says whether a machine has a fence, or why it has none.
func (s *scene) fences(id, whyNot string) *scene {
	m := s.snap.Machines[id]
	m.Fences, m.NoFence = whyNot == "", whyNot
	s.snap.Machines[id] = m
	return s
}

func (s *scene) state(id string, state cluster.HealthState) *scene {
	s.health[id] = cluster.Health{State: state}
	return s
}

func (s *scene) mark(id string, as cluster.Schedulability) *scene {
	m := s.snap.Machines[id]
	m.Schedule = as
	s.snap.Machines[id] = m
	return s
}

// unit submits and launches a unit with lines of [X-Fleet].
func (s *scene) unit(name string, options ...string) *scene {
	content := "[Service]\nExecStart=/bin/true\n"
	if len(options) > 0 {
		content += "[X-Fleet]\n" + strings.Join(options, "\n") + "\n"
	}
	sum := sha1.Sum([]byte(content))
	old := s.snap.Units[name]
	s.snap.Units[name] = cluster.Unit{Name: name, Content: content, Hash: hex.EncodeToString(sum[:]),
		Desired: units.Launched, Generation: old.Generation + 1}
	return s
}

func (s *scene) desired(name string, d units.DesiredState) *scene {
	u := s.snap.Units[name]
	u.Desired = d
	u.Generation++
	s.snap.Units[name] = u
	return s
}

// on assigns a unit as it is now to machines.
func (s *scene) on(name string, machines ...string) *scene {
	for _, m := range machines {
		s.epoch++
		u := s.snap.Units[name]
		s.snap.Assignments[cluster.UnitOnMachine{Machine: m, Unit: name}] = cluster.Assignment{Machine: m, Unit: name,
			Content: u.Content, Hash: u.Hash, Desired: u.Desired, Generation: u.Generation, Epoch: s.epoch, Reason: "as before"}
	}
	return s
}

func (s *scene) input() Input { return Input{Snapshot: s.snap, Health: s.health, Hold: s.hold} }

// says renders a plan for comparison: one line a move, then the unplaced.
func says(r Result) []string {
	var lines []string
	for _, m := range r.Moves {
		from, to := "-", "-"
		if m.From != nil {
			from = m.From.Machine
		}
		if m.To != nil {
			to = m.To.Machine
		}
		lines = append(lines, fmt.Sprintf("%s %s>%s", m.Unit, from, to))
	}
	for _, u := range r.Unplaced {
		lines = append(lines, fmt.Sprintf("%s: %s", u.Unit, u.Reason))
	}
	return lines
}

// apply returns the snapshot after a plan's moves.
func apply(s *cluster.Snapshot, moves []cluster.Move) *cluster.Snapshot {
	c := cluster.Change{Revision: s.Revision + 1, Assignments: map[cluster.UnitOnMachine]*cluster.Assignment{}}
	for _, m := range moves {
		if m.From != nil && !m.Keep {
			c.Assignments[cluster.UnitOnMachine{Machine: m.From.Machine, Unit: m.Unit}] = nil
		}
		if m.To != nil {
			c.Assignments[cluster.UnitOnMachine{Machine: m.To.Machine, Unit: m.Unit}] = m.To
		}
	}
	return s.With(c)
}

func TestPlan(t *testing.T) {
	a, b, c := "a.service", "b.service", "c.service"
	tests := map[string]struct {
		scene *scene
		want  []string
	}{
		"nothing to do": {newScene("n1").unit(a).on(a, "n1"), nil},
		"fewest units":  {newScene("n1", "n2").unit(a).on(a, "n1").unit(b), []string{"b.service ->n2"}},
		"ties by name":  {newScene("n2", "n1").unit(a), []string{"a.service ->n1"}},
		"instances spread before load counts": {
			newScene("n1", "n2").unit(a).unit(b).on(a, "n2").on(b, "n2").unit("w@1.service").unit("w@2.service"),
			[]string{"w@1.service ->n1", "w@2.service ->n2"}},
		"inactive units are not placed": {newScene("n1").unit(a).desired(a, units.Inactive), nil},
		"no machines":                   {newScene().unit(a), []string{"a.service: there are no machines; start a daemon that joins this cluster"}},
		"template": {newScene("n1").unit("w@.service"),
			[]string{"w@.service: it can't be placed: a template runs nothing itself; start an instance of it, like w@1.service"}},

		"failed machine": {newScene("n1", "n2").unit(a).on(a, "n1").state("n1", cluster.Failed), []string{"a.service n1>n2"}},
		"down machine":   {newScene("n1", "n2").unit(a).on(a, "n1").state("n1", cluster.Down), []string{"a.service n1>n2"}},
		"suspect stays":  {newScene("n1", "n2").unit(a).on(a, "n1").state("n1", cluster.Suspect), nil},
		"daemon gone stays, takes no more": {
			newScene("n1", "n2").unit(a).unit(b).on(a, "n1").unit(c).on(b, "n2").on(c, "n2").state("n1", cluster.DaemonGone).unit("d.service"),
			[]string{"d.service ->n2"}},
		"exclusive": {newScene("n1", "n2", "n3").fences("n1", "").fences("n2", "nothing to fence with").unit(a, "Exclusive=true").on(a, "n1").
			state("n1", cluster.Failed), []string{"a.service: 3 machines: 1 failed, " +
			"1 has no fence for exclusive units (its daemon is older than exclusive units), " +
			"1 has no fence for exclusive units (nothing to fence with); it goes on there when n1 is back"}},
		"exclusive, with a fence": {newScene("n1", "n2").fences("n2", "").unit(a, "Exclusive=true"), []string{"a.service ->n2"}},
		"record removed":          {newScene("n2").unit(a).on(a, "n1"), []string{"a.service n1>n2"}},
		"failed and nowhere to go": {newScene("n1").unit(a).on(a, "n1").state("n1", cluster.Failed),
			[]string{"a.service: 1 machine: 1 failed; it goes on there when n1 is back"}},
		"failed and drained": {newScene("n1").unit(a).on(a, "n1").state("n1", cluster.Failed).mark("n1", cluster.Drained),
			[]string{"a.service: 1 machine: 1 failed; it goes on there when n1 is back"}},
		"stopped while its machine is away": {newScene("n1").unit(a).on(a, "n1").state("n1", cluster.Failed).desired(a, units.Loaded),
			[]string{"a.service n1>n1", "a.service: 1 machine: 1 failed; it is loaded there when n1 is back"}},
		"unloaded while its machine is away": {newScene("n1").unit(a).on(a, "n1").state("n1", cluster.Failed).desired(a, units.Inactive),
			[]string{"a.service n1>-"}},
		"moves when another machine can take it": {newScene("n1", "n2").unit(a).on(a, "n1").state("n1", cluster.Failed),
			[]string{"a.service n1>n2"}},
		"its target found another place": {newScene("n1").machine("n2", "ssd=true").unit(a).unit(b, "MachineOf=a.service", "MachineMetadata=ssd=true").
			on(a, "n2").on(b, "n2").state("n2", cluster.Failed),
			[]string{"b.service n2>-", "a.service n2>n1", "b.service: MachineOf=a.service, which is on n1; n1 lacks ssd=true"}},
		"left together with its target": {newScene("n1").machine("n2", "ssd=true").unit(a, "MachineMetadata=ssd=true").unit(b, "MachineOf=a.service").
			on(a, "n2").on(b, "n2").state("n2", cluster.Failed),
			[]string{"a.service: 2 machines: 1 failed, 1 lacks ssd=true; it goes on there when n2 is back",
				"b.service: MachineOf=a.service, which is on no machine; it goes on there when n2 is back"}},
		"a healthy unit stays when a machine joins": {newScene("n1", "n2").unit(a).unit(b).on(a, "n1").on(b, "n1"), nil},

		"cordoned keeps, takes no more": {newScene("n1").unit(a).on(a, "n1").mark("n1", cluster.Cordoned).unit(b),
			[]string{"b.service: 1 machine: 1 is cordoned"}},
		"drained": {newScene("n1", "n2").unit(a).on(a, "n1").mark("n1", cluster.Drained), []string{"a.service n1>n2"}},
		"hold": {func() *scene {
			s := newScene("n1", "n2").unit(a).on(a, "n1").state("n1", cluster.Failed)
			s.hold = "too many vanished"
			return s
		}(), nil},
		"hold, drained": {func() *scene {
			s := newScene("n1", "n2").unit(a).on(a, "n1").state("n1", cluster.Failed).mark("n1", cluster.Drained)
			s.hold = "too many vanished"
			return s
		}(), []string{"a.service n1>n2"}},
		"hold, said goodbye": {func() *scene {
			s := newScene("n1", "n2").unit(a).on(a, "n1").state("n1", cluster.Down)
			s.hold = "too many vanished"
			return s
		}(), []string{"a.service n1>n2"}},

		"MachineID":         {newScene("n1", "n2").unit(a, "MachineID=n2"), []string{"a.service ->n2"}},
		"MachineID unknown": {newScene("n1").unit(a, "MachineID=n9"), []string{"a.service: MachineID=n9 names no machine of this cluster; list-machines --full shows those there are"}},
		"MachineID failed": {newScene("n1", "n2").unit(a, "MachineID=n2").on(a, "n2").state("n2", cluster.Failed),
			[]string{"a.service: MachineID allows only n2, which failed; it goes on there when n2 is back"}},
		"MachineID by its first digits": {newScene(idA, idB).unit(a, "MachineID="+idB[:8]), []string{"a.service ->" + idB}},
		"MachineID by all but a digit":  {newScene(idA, idB).unit(a, "MachineID="+idB[:31]), []string{"a.service ->" + idB}},
		"MachineID by too few digits": {newScene(idA, idB).unit(a, "MachineID="+idB[:7]),
			[]string{"a.service: MachineID=" + idB[:7] + " names no machine of this cluster; list-machines --full shows those there are"}},
		"MachineID by digits that begin two IDs": {newScene(idA, idB, idC).unit(a, "MachineID="+idB[:8]),
			[]string{"a.service: MachineID=" + idB[:8] + " begins the IDs of " + idC + " and " + idB + ": give more digits"}},
		"MachineID by digits that another machine came with": {newScene(idA, idB, idC).unit(a, "MachineID="+idB[:8]).on(a, idB), nil},
		"MachineID by digits of a machine that is away": {newScene(idA, idB).unit(a, "MachineID="+idB[:8]).on(a, idB).state(idB, cluster.Failed),
			[]string{"a.service: MachineID allows only " + idB + ", which failed; it goes on there when " + idB + " is back"}},
		"MachineID by a name": {newScene("abcdefgh1", idB).unit(a, "MachineID=abcdefgh"),
			[]string{"a.service: MachineID=abcdefgh names no machine of this cluster; list-machines --full shows those there are"}},
		"metadata, or": {newScene("n1").machine("n2", "r=west").unit(a, "MachineMetadata=r=east", "MachineMetadata=r=west"),
			[]string{"a.service ->n2"}},
		"metadata, and": {newScene("n1").machine("n2", "r=east").machine("n3", "r=east", "ssd=true").unit(a, `MachineMetadata="r=east" "ssd=true"`),
			[]string{"a.service ->n3"}},
		"assigned twice": {newScene("n1", "n2").machine("n3", "ssd=true").machine("n4", "ssd=true").
			unit("db@1.service").on("db@1.service", "n3", "n4").unit(a, "MachineMetadata=ssd=true", "Conflicts=db@*.service"),
			[]string{"db@1.service n3>-", "a.service ->n3"}},
		"metadata taken away": {newScene("n1").machine("n2", "ssd=true").unit(a, "MachineMetadata=ssd=true").on(a, "n1"),
			[]string{"a.service n1>n2"}},

		"MachineOf": {newScene("n1", "n2").unit(a).on(a, "n2").unit(b, "MachineOf=a.service"), []string{"b.service ->n2"}},
		"MachineOf, target unplaced": {newScene("n1").unit(b, "MachineOf=a.service"),
			[]string{"b.service: MachineOf=a.service, which is on no machine"}},
		"MachineOf, together": {newScene("n1").machine("n2", "ssd=true").unit(a).unit(b, "MachineOf=a.service", "MachineMetadata=ssd=true"),
			[]string{"a.service ->n2", "b.service ->n2"}},
		"MachineOf, circle": {newScene("n1", "n2").unit(a, "MachineOf=b.service").unit(b, "MachineOf=a.service"),
			[]string{"a.service ->n1", "b.service ->n1"}},
		"MachineOf, both fail over": {newScene("n1", "n2", "n3").unit(a).unit(b, "MachineOf=a.service").on(a, "n1").on(b, "n1").unit(c).on(c, "n2").
			state("n1", cluster.Failed), []string{"a.service n1>n3", "b.service n1>n3"}},
		"MachineOf follows": {newScene("n1", "n2").unit(a).on(a, "n2").unit(b, "MachineOf=a.service").on(b, "n1"), []string{"b.service n1>n2"}},
		"MachineOf, target gone": {newScene("n1").unit(b, "MachineOf=a.service").on(b, "n1"),
			[]string{"b.service n1>-", "b.service: MachineOf=a.service, which is on no machine"}},
		"MachineOf, no machine for both": {newScene("n1").machine("n2", "x=y").unit(a, "MachineID=n1").unit(b, "MachineOf=a.service", "MachineMetadata=x=y"),
			[]string{"a.service ->n1", "b.service: MachineOf=a.service, which is on n1; n1 lacks x=y"}},

		"conflict": {newScene("n1", "n2").unit("db@1.service", "Conflicts=db@*.service").on("db@1.service", "n1").
			unit("db@2.service", "Conflicts=db@*.service"), []string{"db@2.service ->n2"}},
		"conflict, one way": {newScene("n1", "n2").unit(a, "Conflicts=b.service").on(a, "n1").unit(c).on(c, "n2").unit(b),
			[]string{"b.service ->n2"}},
		"conflict, nowhere": {newScene("n1").unit(a).on(a, "n1").unit(b, "Conflicts=a.service"),
			[]string{"b.service: 1 machine: 1 conflicts with a.service"}},
		"conflict by an update moves the one that changed": {newScene("n1", "n2").unit(a).unit(b).on(a, "n1").on(b, "n1").unit(a, "Conflicts=b.service"),
			[]string{"a.service n1>n2"}},

		"replaces": {newScene("n1", "n2").unit(a).on(a, "n1").unit(b, "Replaces=a.service"),
			[]string{"a.service n1>n2", "b.service ->n1"}},
		"replaces, nowhere to go": {newScene("n1").unit(a).on(a, "n1").unit(b, "Replaces=a.service"),
			[]string{"a.service n1>-", "b.service ->n1", "a.service: 1 machine: 1 runs b.service, which replaces it"}},
		"replaces in a circle is ignored": {newScene("n1").unit(a, "Replaces=b.service").on(a, "n1").unit(b, "Replaces=a.service"),
			[]string{"b.service ->n1"}},
		"a replacer that fails over spares others": {newScene("n1", "n2", "n3").unit(a).on(a, "n2").unit(b, "Replaces=a.service").on(b, "n1").
			unit(c).on(c, "n3").state("n1", cluster.Failed), []string{"b.service n1>n3"}},

		"global": {newScene("n1", "n2").machine("n3").state("n3", cluster.Failed).unit(a, "Global=true"),
			[]string{"a.service ->n1", "a.service ->n2"}},
		"global, a machine failed":            {newScene("n1", "n2").unit(a, "Global=true").on(a, "n1", "n2").state("n2", cluster.Failed), nil},
		"global, a machine went down":         {newScene("n1", "n2").unit(a, "Global=true").on(a, "n1", "n2").state("n2", cluster.Down), nil},
		"global, a failed machine is drained": {newScene("n1", "n2").unit(a, "Global=true").on(a, "n1", "n2").state("n2", cluster.Failed).mark("n2", cluster.Drained), nil},
		"global, a machine is drained": {newScene("n1", "n2").unit(a, "Global=true").on(a, "n1", "n2").mark("n2", cluster.Drained),
			[]string{"a.service n2>-"}},
		"global, changed while a machine is away": {newScene("n1", "n2").unit(a, "Global=true").on(a, "n1", "n2").state("n2", cluster.Failed).desired(a, units.Loaded),
			[]string{"a.service n1>n1", "a.service n2>n2"}},
		"global, metadata": {newScene("n1").machine("n2", "x=y").unit(a, "Global=true", "MachineMetadata=x=y").on(a, "n1"),
			[]string{"a.service n1>-", "a.service ->n2"}},
		"global, nowhere": {newScene("n1").unit(a, "Global=true", "MachineMetadata=x=y"), []string{"a.service: 1 machine: 1 lacks x=y"}},

		"update":     {newScene("n1").unit(a).on(a, "n1").desired(a, units.Loaded), []string{"a.service n1>n1"}},
		"unload":     {newScene("n1").unit(a).on(a, "n1").desired(a, units.Inactive), []string{"a.service n1>-"}},
		"destroyed":  {func() *scene { s := newScene("n1").unit(a).on(a, "n1"); delete(s.snap.Units, a); return s }(), []string{"a.service n1>-"}},
		"new demand": {newScene("n1", "n2").unit(a).on(a, "n1").unit(a, "MachineID=n2"), []string{"a.service n1>n2"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := tt.scene.input()
			p := New()
			r := p.Plan(in, noon)
			if got := says(r); !slices.Equal(got, tt.want) {
				t.Errorf("got\n %s\nwant\n %s", strings.Join(got, "\n "), strings.Join(tt.want, "\n "))
			}
			checkMoves(t, in, r)
			if again := p.Plan(in, noon); !slices.Equal(says(again), says(r)) {
				t.Errorf("a second look says\n %s", strings.Join(says(again), "\n "))
			}
			in.Snapshot = apply(in.Snapshot, r.Moves)
			if after := p.Plan(in, noon); len(after.Moves) > 0 {
				t.Errorf("after applying there is more to do:\n %s", strings.Join(says(after), "\n "))
			}
		})
	}
}

// checkMoves checks what holds for every move.
func checkMoves(t rapid.TB, in Input, r Result) {
	t.Helper()
	for _, m := range r.Moves {
		if m.Reason == "" {
			t.Errorf("move of %s without a reason", m.Unit)
		}
		if m.Generation != in.Snapshot.Units[m.Unit].Generation {
			t.Errorf("move of %s decided on generation %d", m.Unit, m.Generation)
		}
		if m.From != nil && !in.Snapshot.Assignments[cluster.UnitOnMachine{Machine: m.From.Machine, Unit: m.Unit}].Equal(*m.From) {
			t.Errorf("move of %s from an assignment that isn't there", m.Unit)
		}
		switch {
		case m.To == nil:
		case m.From != nil && m.From.Machine == m.To.Machine:
			if m.To.Epoch != m.From.Epoch || !m.To.Since.Equal(m.From.Since) {
				t.Errorf("update of %s changed its epoch", m.Unit)
			}
		case m.To.Epoch != in.Snapshot.Revision || !m.To.Since.Equal(noon) || m.To.Reason == "":
			t.Errorf("placement of %s: %+v", m.Unit, m.To)
		}
	}
	if !slices.IsSortedFunc(r.Moves, compareMoves) {
		t.Error("moves are not in order")
	}
}

func TestReasons(t *testing.T) {
	s := newScene("n1", "n2", "n3").unit("a.service").unit("b.service").on("a.service", "n3").on("b.service", "n1").state("n3", cluster.Failed)
	r := New().Plan(s.input(), noon)
	if want := "moved from n3: machine failed; fewest units (0) of 2 eligible machines"; r.Moves[0].Reason != want {
		t.Errorf("got %q, want %q", r.Moves[0].Reason, want)
	}
	s = newScene("n1", "n2").machine("n3", "ssd=true").machine("n4", "ssd=true")
	s.unit("db@1.service", "Global=true").on("db@1.service", "n1", "n2", "n3", "n4").unit("a.service", "MachineMetadata=ssd=true", "Conflicts=db@*.service")
	r = New().Plan(s.input(), noon)
	if want := "4 machines: 2 lack ssd=true, 2 conflict with db@1.service"; r.Unplaced[0].Reason != want {
		t.Errorf("got %q, want %q", r.Unplaced[0].Reason, want)
	}
}

func TestExplain(t *testing.T) {
	s := newScene("n1", "n2").machine("n3", "ssd=true").unit("a.service", "MachineMetadata=ssd=true").unit("b.service").on("b.service", "n1")
	p := New()
	e, err := p.Explain(s.input(), "a.service")
	if err != nil {
		t.Fatal(err)
	}
	want := []Verdict{{"n1", "n1", false, "lacks ssd=true"}, {"n2", "n2", false, "lacks ssd=true"}, {"n3", "n3", true, "0 units"}}
	if !slices.Equal(e.On, []string{"n3"}) || e.Reason != "the only eligible machine of 3" || !slices.Equal(e.Verdicts, want) {
		t.Errorf("got %+v", e)
	}
	if e, err = p.Explain(s.input(), "b.service"); err != nil || e.Reason != "as before" || !slices.Equal(e.On, []string{"n1"}) || !e.Verdicts[1].OK {
		t.Errorf("got %+v, %v", e, err)
	}
	if _, err = p.Explain(s.input(), "c.service"); err == nil {
		t.Error("explained a unit that isn't there")
	}
	if got := says(p.Plan(s.input(), noon)); !slices.Equal(got, []string{"a.service ->n3"}) {
		t.Errorf("explaining changed the plan: %v", got)
	}
}

// TestBackWithWhatItHad: a machine that failed and is back keeps the units
// that no other machine could take; their assignments never changed.
func TestBackWithWhatItHad(t *testing.T) {
	s := newScene("n1").machine("n2", "ssd=true").unit("id.service", "MachineID=n2").unit("ssd.service", "MachineMetadata=ssd=true").
		unit("g.service", "Global=true").unit("free.service").
		on("id.service", "n2").on("ssd.service", "n2").on("g.service", "n1", "n2").on("free.service", "n2")
	p := New()
	s.state("n2", cluster.Failed)
	r := p.Plan(s.input(), noon)
	if got := says(r)[0]; len(r.Moves) != 1 || got != "free.service n2>n1" {
		t.Fatalf("when n2 failed: %v", says(r))
	}
	left := []cluster.UnitOnMachine{{Machine: "n2", Unit: "g.service"}, {Machine: "n2", Unit: "id.service"}, {Machine: "n2", Unit: "ssd.service"}}
	if !slices.Equal(r.Left, left) {
		t.Errorf("left: %v", r.Left)
	}
	e, err := p.Explain(s.input(), "ssd.service")
	if want := "unplaced: 2 machines: 1 failed, 1 lacks ssd=true; it goes on there when n2 is back"; err != nil || e.Reason != want || !slices.Equal(e.On, []string{"n2"}) {
		t.Errorf("explain says %q on %q, %v", e.Reason, e.On, err)
	}
	s.snap = apply(s.snap, r.Moves)
	s.state("n2", cluster.Up)
	if r := p.Plan(s.input(), noon); len(r.Moves)+len(r.Unplaced)+len(r.Left) > 0 {
		t.Errorf("when n2 was back: %v", says(r))
	}
}

// TestLeftWaitsToo: a unit left with a machine that is away waits like one
// that has none, where other machines are about to take units.
func TestLeftWaitsToo(t *testing.T) {
	s := newScene("n1", "n2").unit("a.service").unit("b.service").on("a.service", "n2").state("n2", cluster.Failed)
	in := s.input()
	in.Waits, in.WaitsFor = map[string]bool{"a.service": true, "b.service": true}, "waits a moment"
	p := New()
	r := p.Plan(in, noon)
	if got := says(r); !slices.Equal(got, []string{"a.service: waits a moment", "b.service: waits a moment"}) || len(r.Left) != 1 {
		t.Errorf("while it waits: %v, left %v", got, r.Left)
	}
	if got := says(p.Plan(s.input(), noon)); !slices.Equal(got, []string{"a.service n2>n1", "b.service ->n1"}) {
		t.Errorf("afterwards: %v", got)
	}
}

func TestExplainHeld(t *testing.T) {
	const held = "stays on n3, which failed, as failovers are held: too many vanished"
	s := newScene("n1", "n2", "n3").unit("a.service").on("a.service", "n3").
		unit("g.service", "Global=true").on("g.service", "n1", "n2", "n3").
		unit("off.service", "MachineID=n1").on("off.service", "n3").
		unit("b.service").on("b.service", "n2").
		state("n3", cluster.Failed)
	s.hold = "too many vanished"
	p := New()
	for unit, want := range map[string]struct {
		on     []string
		reason string
		n3     string
	}{
		"a.service":   {[]string{"n3"}, held, "failed; its units stay, as failovers are held"},
		"b.service":   {[]string{"n2"}, "as before", "failed"},
		"g.service":   {[]string{"n1", "n2", "n3"}, "a global unit runs on every eligible machine", "failed; its units stay, as failovers are held"},
		"off.service": {[]string{"n3"}, held, "failed; its units stay, as failovers are held"},
	} {
		e, err := p.Explain(s.input(), unit)
		if err != nil || !slices.Equal(e.On, want.on) || e.Reason != want.reason || e.Verdicts[2].Reason != want.n3 {
			t.Errorf("%s: %+v, %v", unit, e, err)
		}
	}
	s.mark("n3", cluster.Drained)
	if e, err := p.Explain(s.input(), "a.service"); err != nil || slices.Equal(e.On, []string{"n3"}) {
		t.Errorf("drained: %+v, %v", e, err)
	}
}

// TestAMachineThatIsComingBackKeepsWhatItHas: units that were given to no other
// machine while theirs was away stay with it when it answers again.
func TestAMachineThatIsComingBackKeepsWhatItHas(t *testing.T) {
	s := newScene("n1", "n2")
	s.unit("a.service").unit("b.service")
	s.snap = apply(s.snap, New().Plan(s.input(), noon).Moves)
	s.health["n2"] = cluster.Health{State: cluster.Failed, BackAt: noon.Add(time.Second)}
	s.unit("c.service").unit("d.service")
	r := New().Plan(s.input(), noon)
	s.snap = apply(s.snap, r.Moves)
	on := map[string]int{}
	for k := range s.snap.Assignments {
		on[k.Machine]++
	}
	if on["n1"] != 3 || on["n2"] != 1 {
		t.Errorf("n1 has %d units and n2 %d: %s", on["n1"], on["n2"], says(r))
	}
	s.health["n2"] = cluster.Health{State: cluster.Failed}
	if r = New().Plan(s.input(), noon); len(r.Moves) != 1 || r.Moves[0].From.Machine != "n2" {
		t.Errorf("in doubt again: %s", says(r))
	}
}

// TestWhatIfPlansTheBaseOnce: machines are asked about in turn, and what has no
// place whichever of them dies is found out once. The planner doesn't go on
// taking the machine for dead, nor forgets that nothing is to be done.
func TestWhatIfPlansTheBaseOnce(t *testing.T) {
	s := newScene("n1", "n2", "n3")
	s.unit("a.service")
	s.unit("b.service")
	p := New()
	s.snap = apply(s.snap, p.Plan(s.input(), noon).Moves)
	p.Plan(s.input(), noon)
	settled := p.settled
	p.WhatIf(s.input(), "n1")
	without := p.without
	for _, id := range []string{"n2", "n3", "n1"} {
		p.WhatIf(s.input(), id)
	}
	if without == nil || !cluster.SameMap(p.without, without) {
		t.Error("the base was planned again")
	}
	if r := p.Plan(s.input(), noon); len(r.Moves) > 0 || p.settled != settled || settled == nil {
		t.Errorf("what was planned before was forgotten: %v", says(r))
	}
}

func TestWhatIf(t *testing.T) {
	s := newScene("n1", "n2").machine("n3", "ssd=true").unit("a.service", "MachineMetadata=ssd=true").on("a.service", "n3").
		unit("b.service").on("b.service", "n3").unit("c.service", "MachineID=n9")
	p := New()
	if got := p.WhatIf(s.input(), "n3"); !slices.Equal(got, []string{"a.service"}) {
		t.Errorf("got %v", got)
	}
	if got := p.WhatIf(s.input(), "n1"); len(got) > 0 {
		t.Errorf("got %v", got)
	}
	if r := p.Plan(s.input(), noon); len(r.Moves) > 0 {
		t.Errorf("asking what if changed the plan: %v", says(r))
	}
}
