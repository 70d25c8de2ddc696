package witness

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// Dir is the directory of a machine with the records of its units, a file for each unit.
	Dir = "/root/witness/"
	// Beat is how often a unit records that it runs.
	Beat = 100 * time.Millisecond
)

// loop is bash, as it forks nothing while it runs: dozens of witnesses may not
// be the load that they are to witness. $1 is the unit, $2 stubborn, once or empty.
const loop = `mkdir -p ` + Dir + `
exec >> ` + Dir + `$1 3<> <(:)
say() { read -r up rest < /proc/uptime; echo "$id $1 $up"; }
read -r up rest < /proc/uptime
id=$$-$up
say start
if [ "$2" = once ]; then say stop; exit; fi
if [ "$2" = stubborn ]; then trap "" TERM; else trap "say stop; exit" TERM; fi
while :; do say beat; read -t 0.1 -u 3; done`

// Service returns a unit file of a service that records its runs until it is
// stopped. More lines follow in whatever sections they open, beginning in [Service].
func Service(more ...string) string { return service("", more) }

// StubbornService is a Service that ignores SIGTERM.
func StubbornService(more ...string) string { return service("stubborn", more) }

// Oneshot is a service that records that it ran, and is done.
func Oneshot(more ...string) string {
	return service("once", append([]string{"Type=oneshot"}, more...))
}

func service(how string, more []string) string {
	script := strings.ReplaceAll(strings.ReplaceAll(loop, "$", "$$"), "\n", "; ")
	script = strings.NewReplacer("then;", "then", "else;", "else", "do;", "do", `"`, `\"`).Replace(script)
	return "[Unit]\nDescription=Records when it runs\n[Service]\nExecStart=/bin/bash -c \"" + script +
		"\" witness %n " + how + "\n" + strings.Join(more, "\n") + "\n"
}

// Record is one line that a unit wrote on a machine.
type Record struct {
	Unit, Machine string
	Run           string        // the process, by its number and when it began
	Stop          bool          // the run ends here
	At            time.Duration // since the boot of the host
}

// Parse returns the records in a file of Dir. A line that was cut short when
// the machine lost its power is left out.
func Parse(unit, machine string, text []byte) []Record {
	var list []Record
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || !strings.HasSuffix(line, "\n") {
			continue
		}
		seconds, err := strconv.ParseFloat(fields[2], 64)
		if err != nil {
			continue
		}
		list = append(list, Record{unit, machine, fields[0], fields[1] == "stop", time.Duration(seconds * float64(time.Second))})
	}
	return list
}

// Span is a time from its beginning to its end.
type Span struct{ From, To time.Duration }

// overlap returns what two spans have in common, and whether that is more than a moment.
func (s Span) overlap(o Span) (Span, bool) {
	both := Span{max(s.From, o.From), min(s.To, o.To)}
	return both, both.From < both.To
}

// Run is one process of a unit, from its first record to its last.
type Run struct {
	Unit, Machine string
	Span
	Pieces  []Span // when it ran: all of Span, but for when its machine was frozen
	Stopped bool   // it recorded its end
}

// pieceGap is a pause in a run's records, beside a fault that pauses its machine, that is that pause.
const pieceGap = 500 * time.Millisecond

// Runs returns the runs that left these records, by unit and then by their
// beginning. Faults tell when machines were frozen.
func Runs(records []Record, faults []Fault) []Run {
	type key struct{ unit, machine, run string }
	known := map[key]int{}
	var runs []Run
	for _, r := range records {
		k := key{r.Unit, r.Machine, r.Run}
		i, ok := known[k]
		if !ok {
			i = len(runs)
			known[k] = i
			runs = append(runs, Run{Unit: r.Unit, Machine: r.Machine, Span: Span{r.At, r.At}, Pieces: []Span{{r.At, r.At}}})
		}
		run := &runs[i]
		last := &run.Pieces[len(run.Pieces)-1]
		if r.At-last.To > pieceGap && paused(faults, r.Machine, Span{last.To, r.At}) {
			run.Pieces = append(run.Pieces, Span{r.At, r.At})
		} else {
			last.To = r.At
		}
		run.To = r.At
		run.Stopped = r.Stop
	}
	slices.SortStableFunc(runs, func(a, b Run) int {
		if c := strings.Compare(a.Unit, b.Unit); c != 0 {
			return c
		}
		return int(a.From - b.From)
	})
	return runs
}

func paused(faults []Fault, machine string, gap Span) bool {
	return slices.ContainsFunc(faults, func(f Fault) bool {
		_, during := f.Span.overlap(gap)
		return during && f.Excuses.has(Pauses) && slices.Contains(f.Machines, machine)
	})
}

// Overlap is a time in which two runs of a unit were there.
type Overlap struct {
	Older, Newer Run
	Span
}

// Overlaps returns where runs of one unit, in the order of their beginning, overlap.
func Overlaps(runs []Run) []Overlap {
	var list []Overlap
	for i, newer := range runs {
		for _, older := range runs[:i] {
			whole := Span{From: -1}
			for _, a := range older.Pieces {
				for _, b := range newer.Pieces {
					if both, more := a.overlap(b); more && whole.From < 0 {
						whole = both
					} else if more {
						whole.To = both.To
					}
				}
			}
			if whole.From >= 0 {
				list = append(list, Overlap{older, newer, whole})
			}
		}
	}
	return list
}
