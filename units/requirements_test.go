package units

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// service is a file whose [X-Fleet] section begins on line 4.
func service(options ...string) string {
	return "[Service]\nExecStart=/bin/web\n\n[X-Fleet]\n" + strings.Join(options, "\n") + "\n"
}

func TestRequirements(t *testing.T) {
	tests := []struct {
		name string
		unit string
		opts []string
		want Requirements
	}{
		{"none", "web.service", nil, Requirements{}},
		{"machine", "web.service", []string{"MachineID=abc"}, Requirements{MachineID: "abc"}},
		{"quoted machine", "web.service", []string{`MachineID="abc"`}, Requirements{MachineID: "abc"}},
		{"the first machine wins", "web.service", []string{`MachineID="a" "b"`, "MachineID=c"}, Requirements{MachineID: "a"}},
		{"the new name wins", "web.service", []string{"X-ConditionMachineID=a", "MachineID=b"}, Requirements{MachineID: "b"}},
		{"the old name alone", "web.service", []string{"X-ConditionMachineID=a"}, Requirements{MachineID: "a"}},
		{"machine and metadata", "web.service", []string{"MachineID=a", "MachineMetadata=k=v"},
			Requirements{MachineID: "a", Metadata: map[string][]string{"k": {"v"}}}},
		{"peers", "web.service", []string{`MachineOf="a.service" "b.service"`, "X-ConditionMachineOf=c.socket", "MachineOf=a.service d.timer"},
			Requirements{MachineOf: []string{"a.service", "b.service", "c.socket", "d.timer"}}},
		{"pairs on a line", "web.service", []string{`MachineMetadata="region=eu" "disk=ssd"`},
			Requirements{Metadata: map[string][]string{"region": {"eu"}, "disk": {"ssd"}}}},
		{"a key repeated", "web.service", []string{`MachineMetadata="region=eu"  "disk=ssd"`, "MachineMetadata=region=us", "MachineMetadata=region=eu"},
			Requirements{Metadata: map[string][]string{"region": {"eu", "us"}, "disk": {"ssd"}}}},
		{"old and new add up", "web.service", []string{`X-ConditionMachineMetadata="a=1" "b=2"`, "MachineMetadata=a=3"},
			Requirements{Metadata: map[string][]string{"a": {"1", "3"}, "b": {"2"}}}},
		{"blanks in a value", "web.service", []string{"MachineMetadata=city=San Francisco", `MachineMetadata="city=L'Aquila" "x=y z"`},
			Requirements{Metadata: map[string][]string{"city": {"San Francisco", "L'Aquila"}, "x": {"y z"}}}},
		{"continued", "web.service", []string{`MachineMetadata="a=1" \`, `  # not this \`, `  "b=2"`, `Conflicts=x* \`, "  y*"},
			Requirements{Metadata: map[string][]string{"a": {"1"}, "b": {"2"}}, Conflicts: []string{"x*", "y*"}}},
		{"conflicts", "web.1.service", []string{"Conflicts=web.*.service db*", `X-Conflicts="c.service" "d.service"`, "Conflicts=db*"},
			Requirements{Conflicts: []string{"web.*.service", "db*", "c.service", "d.service"}}},
		{"conflicts with itself", "web@1.service", []string{"Conflicts=web@2.service %n"}, Requirements{Conflicts: []string{"web@2.service", "web@1.service"}}},
		{"conflicts with itself, timer", "web.timer", []string{"X-Conflicts=%p.timer"}, Requirements{Conflicts: []string{"web.timer"}}},
		{"conflicts with itself, template", "web@.service", []string{"Conflicts=%n"}, Requirements{Conflicts: []string{"web@%i.service"}}},
		{"replaces", "web.service", []string{"Replaces=old*.service older.service"},
			Requirements{Replaces: []string{"old*.service", "older.service"}}},
		{"global", "web.service", []string{"Global=true", "MachineMetadata=a=b", "Conflicts=db.service"},
			Requirements{Global: true, Metadata: map[string][]string{"a": {"b"}}, Conflicts: []string{"db.service"}}},
		{"rerun", "web.service", []string{"Rerun=yes", "Global=true"}, Requirements{Rerun: true, Global: true}},
		{"exclusive", "web.service", []string{"Exclusive=true", "Conflicts=a.service"}, Requirements{Exclusive: true, Conflicts: []string{"a.service"}}},
		{"exclusive taken back", "web.service", []string{"Exclusive=true", "Exclusive=no", "Global=yes"}, Requirements{Global: true}},
		{"kept when isolated", "web.service", []string{"OnIsolation=keep"}, Requirements{}},
		{"stopped when isolated", "web.service", []string{"OnIsolation=stop"},
			Requirements{StopWhenIsolated: true, IsolationTimeout: 30 * time.Second}},
		{"stopped when isolated for a while", "web.service", []string{"IsolationTimeoutSec=2min 5", "OnIsolation=stop", "Global=true"},
			Requirements{StopWhenIsolated: true, IsolationTimeout: 125 * time.Second, Global: true}},
		{"the last rerun wins", "web.service", []string{"Rerun=yes", "Rerun=no"}, Requirements{}},
		{"the last global wins", "web.service", []string{"Global=yes", "Global=Off"}, Requirements{}},
		{"not global goes with everything", "web.service", []string{"Global=false", "MachineID=a"}, Requirements{MachineID: "a"}},
		{"global taken back", "web.service", []string{"Global=1", "MachineOf=a.service", "Global=0"}, Requirements{MachineOf: []string{"a.service"}}},
		{"empty values", "web.service", []string{"MachineMetadata=", "Conflicts=", "Global=", `MachineMetadata=""`}, Requirements{}},
		{"specifiers of an instance", "web@1.service",
			[]string{"MachineMetadata=slot=%i", `MachineMetadata="n=%n" "N=%N" "p=%p" "percent=5%% or 5%"`, "MachineOf=%p-data@%i.service"},
			Requirements{MachineOf: []string{"web-data@1.service"},
				Metadata: map[string][]string{"slot": {"1"}, "n": {"web@1.service"}, "N": {"web@1"}, "p": {"web"}, "percent": {"5% or 5%"}}}},
		{"specifiers of a plain name", "web.service", []string{"Conflicts=%p@*.service", "MachineOf=%N.socket"},
			Requirements{Conflicts: []string{"web@*.service"}, MachineOf: []string{"web.socket"}}},
		{"percent signs that make none", "web@n.service", []string{`MachineMetadata="a=%%i" "b=%%%i"`},
			Requirements{Metadata: map[string][]string{"a": {"%i"}, "b": {"%n"}}}},
		{"specifiers of a template", "web@.service", []string{"MachineID=%i", "MachineMetadata=name=%n"},
			Requirements{MachineID: "%i", Metadata: map[string][]string{"name": {"web@%i.service"}}}},
		{"a template beside another", "web@.service", []string{"MachineOf=db@%i.service"},
			Requirements{MachineOf: []string{"db@%i.service"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := mustParse(t, service(tt.opts...)).Requirements(mustName(t, tt.unit))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestRequirementsOfNoSection(t *testing.T) {
	for _, content := range []string{
		"[Unit]\nMachineID=a\n",
		"[X-Other]\nMachineID=a\n",
	} {
		got, err := mustParse(t, content).Requirements(mustName(t, "web.service"))
		if err != nil || !reflect.DeepEqual(got, Requirements{}) {
			t.Errorf("%q asks for %+v, %v", content, got, err)
		}
	}
}

func TestBooleans(t *testing.T) {
	for word, want := range map[string]bool{
		"true": true, "True": true, "YES": true, "y": true, "On": true, "1": true, "t": true,
		"false": false, "No": false, "n": false, "off": false, "0": false, "F": false,
	} {
		got, err := mustParse(t, service("Global="+word)).Requirements(mustName(t, "web.service"))
		if err != nil || got.Global != want {
			t.Errorf("Global=%s is %t, %v", word, got.Global, err)
		}
	}
}

func TestRequirementsRefuses(t *testing.T) {
	tests := []struct {
		name, unit string
		opts       []string
		line       int
		want       string
	}{
		{"typo", "web.service", []string{"Conflict=a*"}, 5, "Conflict is no option of [X-Fleet]: did you mean Conflicts?"},
		{"case", "web.service", []string{"Global=1", "machineof=a.service"}, 6, "did you mean MachineOf?"},
		{"another typo", "web.service", []string{"MachineMetadta=a=b"}, 5, "did you mean MachineMetadata?"},
		{"old name's typo", "web.service", []string{"X-Conflict=a*"}, 5, "did you mean X-Conflicts?"},
		{"boot id", "web.service", []string{"X-ConditionMachineBootID=a"}, 5, "did you mean X-ConditionMachineID?"},
		{"unknown", "web.service", []string{"Alone=true"}, 5,
			"Known are MachineID, MachineOf, MachineMetadata, Conflicts, Replaces, Global, Rerun, Exclusive, Reschedule, OnIsolation and IsolationTimeoutSec"},

		{"no pair", "web.service", []string{"", "MachineMetadata=ssd"}, 6, `"ssd" is no pair: write key=value`},
		{"no pair among good ones", "web.service", []string{`MachineMetadata="a=b" "ssd"`}, 5, `"ssd" is no pair`},
		{"no key", "web.service", []string{"MachineMetadata==b"}, 5, "has no key"},
		{"no value", "web.service", []string{"MachineMetadata=a="}, 5, "has no value"},
		{"pairs without quotes", "web.service", []string{"MachineMetadata=a=b c=d"}, 5, "more than one =: write key=value, and several pairs each in double quotes"},
		{"open quote", "web.service", []string{`MachineMetadata="a=b" "c=d`}, 5, "a double quote is missing"},
		{"quote that was never opened", "web.service", []string{`MachineMetadata=a=b"`}, 5, "a double quote is missing"},
		{"half quoted", "web.service", []string{`MachineMetadata="a=b" c=d`}, 5, `"c=d" after a quoted value`},
		{"no blank between", "web.service", []string{`MachineMetadata="a=b""c=d"`}, 5, "put blanks between"},
		{"single quotes", "web.service", []string{`MachineMetadata='a=b'`}, 5, "use double quotes"},

		{"instance of a plain name", "web.service", []string{"MachineID=%i"}, 5, "%i is empty for web.service"},
		{"pair with an empty instance", "web.service", []string{"MachineMetadata=a=%i"}, 5, `"a=" has no value`},
		{"unknown specifier", "web.service", []string{"MachineMetadata=host=%H"}, 5, "%H is not known in [X-Fleet]: use %n, %N, %p or %i"},

		{"no machine", "web.service", []string{"MachineID="}, 5, "no machine is named"},
		{"blank machine", "web.service", []string{"MachineID=a b"}, 5, "no blanks"},
		{"no peer", "web.service", []string{"MachineOf="}, 5, "no unit is named"},
		{"peer without a type", "web.service", []string{"MachineOf=db"}, 5, `"db" has no type: add one, as in db.service`},
		{"peer with a glob", "web.service", []string{"MachineOf=db@*.service"}, 5, "the character '*'"},
		{"peer that is a template", "web.service", []string{"MachineOf=db@.service"}, 5, "is a template, which runs nowhere: name an instance"},
		{"replaces nothing", "web.service", []string{"Replaces="}, 5, "no unit is named"},
		{"bad pattern", "web.service", []string{"Conflicts=web@[1-3.service"}, 5, "is no pattern: close its brackets"},
		{"bad pattern to replace", "web.service", []string{"Replaces=["}, 5, "is no pattern"},
		{"rerun, neither true nor false", "web.service", []string{"Rerun=maybe"}, 5, "neither yes nor no: write true or false"},
		{"neither true nor false", "web.service", []string{"Global=12"}, 5, "neither yes nor no: write true or false"},

		{"exclusive, neither true nor false", "web.service", []string{"Exclusive=always"}, 5, "neither yes nor no: write true or false"},
		{"isolation, neither keep nor stop", "web.service", []string{"OnIsolation=kill"}, 5, "write keep or stop"},
		{"isolation, no time", "web.service", []string{"OnIsolation=stop", "IsolationTimeoutSec=soon"}, 6, "not a time span"},
		{"isolation, too soon", "web.service", []string{"OnIsolation=stop", "IsolationTimeoutSec=2s"}, 6, "give at least 5s"},
		{"isolation, never", "web.service", []string{"OnIsolation=stop", "IsolationTimeoutSec=infinity"}, 6, "write that, or a time"},
		{"isolation, a time alone", "web.service", []string{"IsolationTimeoutSec=10s"}, 5, "is the time for OnIsolation=stop"},
		{"isolation, a time and keep", "web.service", []string{"OnIsolation=keep", "IsolationTimeoutSec=10s"}, 6, "is the time for OnIsolation=stop"},
		{"global, exclusive", "web.service", []string{"Exclusive=true", "Global=true"}, 6, "Global can't be used with Exclusive (line 5)"},
		{"exclusive, isolation", "web.service", []string{"Exclusive=true", "OnIsolation=keep"}, 6, "OnIsolation can't be used with Exclusive (line 5)"},

		{"beside itself", "web.service", []string{"MachineOf=web.service"}, 5, "always on its own machine"},
		{"beside itself, template", "web@.service", []string{"MachineOf=%p@%i.service"}, 5, "always on its own machine"},
		{"replaces itself", "web.service", []string{"Replaces=web.service"}, 5, "this is the unit itself"},

		{"global, machine", "web.service", []string{"Global=true", "#", "MachineID=a"}, 7, "MachineID can't be used with Global (line 5)"},
		{"global, old machine", "web.service", []string{"X-ConditionMachineID=a", "Global=true"}, 6, "Global can't be used with MachineID (line 5)"},
		{"global, peer", "web.service", []string{"Global=true", "MachineOf=a.service"}, 6, "MachineOf can't be used with Global (line 5)"},
		{"global, replaces", "web.service", []string{"Replaces=a.service", "Global=true"}, 6, "Global can't be used with Replaces (line 5)"},
		{"machine, peer", "web.service", []string{"MachineID=a", "MachineOf=a.service"}, 6, "MachineOf can't be used with MachineID (line 5)"},
		{"machine, conflicts", "web.service", []string{"MachineID=a", "Conflicts=a.service"}, 6, "Conflicts can't be used with MachineID (line 5)"},
		{"machine, replaces", "web.service", []string{"MachineID=a", "Replaces=a.service"}, 6, "Replaces can't be used with MachineID (line 5)"},
		{"conflicts, replaces", "web.service", []string{"Replaces=a.service", "X-Conflicts=b.service"}, 6, "Conflicts can't be used with Replaces (line 5)"},
		{"peer in conflict", "web.service", []string{"Conflicts=x* d*", "MachineOf=a.service db.service"}, 6, "MachineOf=db.service asks for the machine that Conflicts=d*"},
		{"peer replaced", "web.service", []string{"MachineOf=db.service", "Replaces=d*"}, 6, "MachineOf=db.service asks for the machine that Replaces=d*"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := mustParse(t, service(tt.opts...)).Requirements(mustName(t, tt.unit))
			if err == nil {
				t.Fatalf("accepted: %+v", got)
			}
			wantFileError(t, err, tt.line, tt.want)
		})
	}
}

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{
		"": "Rerun", "Replace": "Replaces", "MACHINEID": "MachineID", "MachineIDs": "MachineID", "Golbal": "Global",
	} {
		names, _ := fleetOptionNames()
		if got := nearest(word, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
	if d := distance("kitten", "sitting"); d != 3 {
		t.Errorf("distance(kitten, sitting) = %d, want 3", d)
	}
}
