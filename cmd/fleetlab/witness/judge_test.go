package witness

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

var bounds = Bounds{Up: 30 * time.Second, After: 15 * time.Second, Thaw: 2 * time.Second}

const sec = time.Second

// ran are the records of a run: one a second, and the word that it ends if it said so.
func ran(unit, machine string, from, to time.Duration, stops bool) []Record {
	id := fmt.Sprintf("%s-%v", machine, from)
	var list []Record
	for at := from; at < to; at += sec {
		list = append(list, Record{unit, machine, id, false, at})
	}
	return append(list, Record{unit, machine, id, stops, to})
}

func fault(kind string, excuses Excuse, from, to time.Duration, machines ...string) Fault {
	return Fault{Kind: kind, Machines: machines, Span: Span{from, to}, Excuses: excuses, Voters: []string{"n1", "n2", "n3"}}
}

// TestJudge: each story has its violations, by the beginning of their text.
func TestJudge(t *testing.T) {
	cut := Ends | Doubles | Fails | Away
	plain, exclusive := Unit{Name: "a.service"}, Unit{Name: "a.service", Exclusive: true}
	for _, c := range []struct {
		name     string
		units    []Unit
		records  [][]Record
		faults   []Fault
		verdicts []Verdict
		want     []string
		check    func(r Report) bool
	}{
		{name: "all is quiet", units: []Unit{plain}, records: [][]Record{ran("a.service", "n1", 0, 100*sec, false)}},
		{name: "a move after a cut, with a copy that is stopped in time", units: []Unit{plain},
			records: [][]Record{ran("a.service", "n4", 0, 21*sec, true), ran("a.service", "n5", 12*sec, 100*sec, false)},
			faults:  []Fault{fault("cut", cut, 10*sec, 20*sec, "n4")},
			check: func(r Report) bool {
				return r.Kinds[0].Overlaps[0] == 9*sec && len(r.Outages) == 0
			}},
		{name: "a copy that never ends", units: []Unit{plain},
			records: [][]Record{ran("a.service", "n4", 0, 100*sec, false), ran("a.service", "n5", 12*sec, 100*sec, false)},
			faults:  []Fault{fault("cut", cut, 10*sec, 20*sec, "n4")},
			want:    []string{"a.service ran twice for 88.00 s: on n4, and on n5"}},
		{name: "two copies without a cause", units: []Unit{plain},
			records: [][]Record{ran("a.service", "n4", 0, 100*sec, false), ran("a.service", "n5", 50*sec, 52*sec, true)},
			want:    []string{"a.service ran twice for 2.00 s", "a.service ended on n5 without a cause"}},
		{name: "an exclusive unit runs twice in a cut", units: []Unit{exclusive},
			records: [][]Record{ran("a.service", "n4", 0, 21*sec, true), ran("a.service", "n5", 12*sec, 100*sec, false)},
			faults:  []Fault{fault("cut", cut, 10*sec, 20*sec, "n4")},
			want:    []string{"a.service ran twice for 9.00 s: on n4, and on n5, and is exclusive"}},
		{name: "an exclusive unit runs on for a moment when its machine thaws", units: []Unit{exclusive},
			records: [][]Record{{{"a.service", "n4", "1", false, 0}, {"a.service", "n4", "1", false, 10 * sec},
				{"a.service", "n4", "1", false, 30 * sec}, {"a.service", "n4", "1", true, 30*sec + sec/2}},
				ran("a.service", "n5", 15*sec, 100*sec, false)},
			faults: []Fault{fault("freeze", cut|Pauses, 10*sec, 30*sec, "n4")},
			check:  func(r Report) bool { return slices.Equal(r.Thawed, []time.Duration{sec / 2}) }},
		{name: "a move on the same instant", units: []Unit{exclusive},
			records: [][]Record{ran("a.service", "n4", 0, 20*sec, true), ran("a.service", "n5", 20*sec, 100*sec, false)},
			faults:  []Fault{fault("drain", Ends|Doubles, 10*sec, 20*sec, "n4")}},
		{name: "a restart in place", units: []Unit{plain},
			records: [][]Record{ran("a.service", "n4", 0, 40*sec, true), ran("a.service", "n4", 41*sec, 100*sec, false)},
			faults:  []Fault{fault("daemon killed", EndsExclusive|Away, 35*sec, 36*sec, "n4")},
			want:    []string{"a.service ended on n4 without a cause; next it ran on n4, after 1.00 s"}},
		{name: "an exclusive unit ends as a voter is away", units: []Unit{exclusive},
			records: [][]Record{ran("a.service", "n4", 0, 40*sec, true), ran("a.service", "n4", 41*sec, 100*sec, false)},
			faults:  []Fault{fault("cut", cut, 35*sec, 45*sec, "n1")}},
		{name: "an exclusive unit ends as a machine without a vote is away", units: []Unit{exclusive},
			records: [][]Record{ran("a.service", "n4", 0, 40*sec, true), ran("a.service", "n4", 41*sec, 100*sec, false)},
			faults:  []Fault{fault("cut", cut, 35*sec, 45*sec, "n5")},
			want:    []string{"a.service ended on n4 without a cause"}},
		{name: "it never comes back", units: []Unit{plain},
			records: [][]Record{ran("a.service", "n4", 0, 11*sec, false)},
			faults:  []Fault{fault("power off", cut, 10*sec, 20*sec, "n4")},
			want:    []string{"a.service was away for 89.00 s, 89.00 s of it while it could have run"}},
		{name: "away without a quorum", units: []Unit{plain},
			records: [][]Record{ran("a.service", "n1", 0, 11*sec, false), ran("a.service", "n1", 95*sec, 100*sec, false)},
			faults: []Fault{fault("power off", cut, 10*sec, 80*sec, "n1"),
				fault("power off", cut, 10*sec, 80*sec, "n2")},
			check: func(r Report) bool { return len(r.Outages) == 0 }},
		{name: "an operator stops it", units: []Unit{plain},
			records: [][]Record{ran("a.service", "n1", 0, 11*sec, true), ran("a.service", "n2", 95*sec, 100*sec, false)},
			faults: []Fault{{Kind: "stop", Units: []string{"a.service"}, Excuses: Ends | Unwanted,
				Span: Span{10 * sec, 90 * sec}}}},
		{name: "a global unit is missing on one machine", units: []Unit{{Name: "g.service", Global: true}},
			records: [][]Record{ran("g.service", "n1", 0, 100*sec, false), ran("g.service", "n2", 0, 40*sec, true),
				ran("g.service", "n3", 0, 100*sec, false), ran("g.service", "n4", 0, 100*sec, false),
				ran("g.service", "n5", 0, 100*sec, false)},
			faults: []Fault{fault("reboot", cut, 39*sec, 41*sec, "n2")},
			want:   []string{"g.service was away from n2 for 60.00 s, 59.00 s of it"}},
		{name: "a oneshot runs again", units: []Unit{{Name: "o.service", Once: true}},
			records: [][]Record{ran("o.service", "n1", 50*sec, 50*sec, true)},
			want:    []string{"o.service had finished, and ran again on n1"}},
		{name: "beside what it conflicts with", units: []Unit{plain, {Name: "b.service", Avoids: "a.service"}},
			records: [][]Record{ran("a.service", "n1", 0, 100*sec, false), ran("b.service", "n2", 0, 50*sec, false),
				ran("b.service", "n1", 60*sec, 100*sec, false)},
			faults: []Fault{fault("power off", cut, 50*sec, 80*sec, "n2")},
			want:   []string{"b.service ran beside a.service on n1 for 40.00 s"}},
		{name: "it goes with the unit that it follows", units: []Unit{plain, {Name: "b.service", Follows: "a.service"}},
			records: [][]Record{ran("a.service", "n1", 0, 50*sec, true), ran("a.service", "n2", 51*sec, 100*sec, false),
				ran("b.service", "n1", 0, 51*sec, true), ran("b.service", "n2", 52*sec, 100*sec, false)},
			faults: []Fault{{Kind: "restart", Units: []string{"a.service"}, Excuses: Ends, Span: Span{50 * sec, 51 * sec}}}},
		{name: "verdicts", units: []Unit{plain}, records: [][]Record{ran("a.service", "n3", 0, 100*sec, false)},
			faults:   []Fault{fault("cut", cut, 10*sec, 20*sec, "n1")},
			verdicts: []Verdict{{"n1", 11 * sec, "n1 failed"}, {"n2", 11 * sec, "n2 failed"}},
			want:     []string{"a false failover: n2 failed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Judge(Story{Span: Span{0, 100 * sec}, Machines: []string{"n1", "n2", "n3", "n4", "n5"}, Units: c.units,
				Records: slices.Concat(c.records...), Faults: c.faults, Verdicts: c.verdicts, Bounds: bounds})
			if len(r.Violations) != len(c.want) {
				t.Fatalf("%d violations, expected %d:\n%s", len(r.Violations), len(c.want), r)
			}
			for i, v := range r.Violations {
				if !strings.HasPrefix(v.Text, c.want[i]) {
					t.Errorf("violation %q, expected %q", v.Text, c.want[i])
				}
			}
			if c.check != nil && !c.check(r) {
				t.Errorf("the report isn't as expected:\n%s", r)
			}
		})
	}
}

// TestParse: a record that was cut short doesn't count.
func TestParse(t *testing.T) {
	got := Parse("a.service", "n1", []byte("7-1.00 start 1.00\n7-1.00 beat 1.10\n7-1.00 stop 1.25\n9-2.00 start 2.0"))
	want := []Record{{"a.service", "n1", "7-1.00", false, sec}, {"a.service", "n1", "7-1.00", false, sec + sec/10},
		{"a.service", "n1", "7-1.00", true, sec + sec/4}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, expected %v", got, want)
	}
}

// TestReport: the table has a row for each kind, and violations with the faults around them.
func TestReport(t *testing.T) {
	r := Judge(Story{Span: Span{5 * sec, 100 * sec}, Machines: []string{"n1", "n2", "n3"}, Units: []Unit{{Name: "a.service"}},
		Records: slices.Concat(ran("a.service", "n1", 5*sec, 20*sec, true), ran("a.service", "n2", 22*sec, 100*sec, false)),
		Faults:  []Fault{fault("cable cut", Away, 10*sec, 0, "n1")}, Bounds: bounds})
	for _, want := range []string{"cable cut", "outages, ordinary units: 1, median 2.00 s",
		"  00:15.0  a.service ended on n1 without a cause; next it ran on n2, after 2.00 s",
		"      00:05.0  cable cut: n1, until 01:35.0 (voters n1, n2, n3)"} {
		if !strings.Contains(r.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, r)
		}
	}
}

// TestLoop: the program is one that bash takes.
func TestLoop(t *testing.T) {
	for _, text := range []string{Service(), StubbornService(), Oneshot()} {
		_, line, _ := strings.Cut(text, `-c "`)
		script, _, _ := strings.Cut(line, `" witness %n`)
		script = strings.NewReplacer(`\"`, `"`, "$$", "$").Replace(script)
		if out, err := exec.Command("bash", "-n", "-c", script).CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, out, script)
		}
	}
}
