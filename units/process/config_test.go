package process

import (
	"errors"
	"maps"
	"os/user"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fleettop/units"
	"fleettop/units/timespan"
)

func testHost() *host {
	return &host{machineID: "0123456789abcdef0123456789abcdef", bootID: "fedcba9876543210fedcba9876543210",
		hostname: "n1.example",
		release:  "6.1.0", user: &user.User{Uid: "1000", Gid: "1000", Username: "worker",
			HomeDir: "/home/worker"}, group: "staff", runtimeDir: "/run/user/1000"}
}

func compileText(t testing.TB, name, content string) (*config, error) {
	t.Helper()
	n, err := units.ParseName(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := units.ParseFile(content)
	if err != nil {
		t.Fatal(err)
	}
	return compile(n, f, testHost())
}

func TestCommands(t *testing.T) {
	env := map[string]string{"ONE": "x", "TWO": "a  'b c'", "EMPTY": "", "STRAY": `it's`}
	for _, test := range []struct {
		line, program string
		argv          []string
		flags         string
	}{
		{"/bin/echo a 'b c'", "/bin/echo", []string{"/bin/echo", "a", "b c"}, ""},
		{"-/bin/false", "/bin/false", []string{"/bin/false"}, "-"},
		{"@/bin/sh login -c true", "/bin/sh", []string{"login", "-c", "true"}, ""},
		{"-+:@/bin/sh login $ONE", "/bin/sh", []string{"login", "$ONE"}, "-:+"},
		{"echo $ONE ${ONE}y $TWO ${TWO} $EMPTY ${EMPTY} $NONE", "echo",
			[]string{"echo", "x", "xy", "a", "b c", "a  'b c'", ""}, ""},
		{"echo $$ONE a$ONE $STRAY ${bad-name} $", "echo", []string{"echo", "$ONE", "a$ONE", "it's", "${bad-name}", "$"}, ""},
		{"echo %n %N %p %i %I %% %t %h %u %m %b %H %v %l %f %% %-z", "echo",
			[]string{"echo", "my-web@a-c.service", "my-web@a-c", "my-web",
				"a-c", "a/c", "%", "/run/user/1000", "/home/worker", "worker", "0123456789abcdef0123456789abcdef",
				"fedcba9876543210fedcba9876543210", "n1.example", "6.1.0", "n1", "/a/c", "%", "%-z"}, ""},
	} {
		sp := &specifiers{name: nameWith(t), host: testHost()}
		list, err := parseCommands("ExecStart", test.line, 3, sp)
		if err != nil || len(list) != 1 {
			t.Errorf("%s: %v %v", test.line, list, err)
			continue
		}
		c, flags := list[0], ""
		for f, on := range map[string]bool{"-": c.IgnoreFailure, ":": c.Verbatim, "+": c.Privileged} {
			if on != strings.Contains(test.flags, f) {
				flags += f
			}
		}
		if got := c.argv(env); !slices.Equal(got, test.argv) || c.Program != test.program || flags != "" {
			t.Errorf("%s: %s %q, want %s %q; wrong flags: %q", test.line, c.Program, got, test.program, test.argv, flags)
		}
	}
	for line, want := range map[string]string{"-": "no program", "@/bin/sh": "argv[0]", "!/bin/sh": "systemd",
		"bin/sh": "absolute",
		"/bin/":  "directory", `/bin/sh "`: "not closed", "/bin/sh %w": "systemd", "/bin/date +%F": "write %%F"} {
		if _, err := parseCommands("ExecStart", line, 1, &specifiers{name: nameWith(t), host: testHost()}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", line, err, want)
		}
	}
}

func nameWith(t testing.TB) units.Name {
	n, err := units.ParseName("my-web@a-c.service")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestUnescapeName(t *testing.T) {
	for in, want := range map[string]string{`a-b`: "a/b", `a\x2db`: "a-b", `\x`: `\x`, `\x2`: `\x2`, `x\xzz`: `x\xzz`} {
		if got := unescapeName(in); got != want {
			t.Errorf("unescapeName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	const service = "[Service]\nExecStart=/bin/true\n"
	for _, test := range []struct {
		name, content, option, say string
		line                       int
	}{
		{"a.service", service + "PrivateTmp=yes\n", "PrivateTmp", "systemd", 3},
		{"a.service", service + "LimitNOFILE=10\n", "LimitNOFILE", "systemd", 3},
		{"a.service", service + "Type=dbus\n", "Type", "notify", 3},
		{"a.service", service + "Type=fancy\n", "Type", "no type", 3},
		{"a.service", service + "Restart=sometimes\n", "Restart", "on-failure", 3},
		{"a.service", service + "TimeoutStopSec=soon\n", "TimeoutStopSec", "time span", 3},
		{"a.service", service + "ExecStart=/bin/false\n", "ExecStart", "oneshot", 2},
		{"a.service", service + "Type=oneshot\nRestart=always\n", "Restart", "on-failure", 4},
		{"a.service", "[Unit]\nRequires=db.service\n" + service, "Requires", "Wants=", 2},
		{"a.service", "[Unit]\nConflicts=db.service\n" + service, "Conflicts", "X-Fleet", 2},
		{"a.service", "[Unit]\nConditionPathExists=/x\n" + service, "ConditionPathExists", "systemd", 2},
		{"a.service", service + "WorkingDirectory=tmp\n", "WorkingDirectory", "absolute", 3},
		{"a.service", service + "Environment=novalue\n", "Environment", "NAME=value", 3},
		{"a.service", service + "KillSignal=SIGNOPE\n", "KillSignal", "SIGTERM", 3},
		{"a.service", service + "SuccessExitStatus=999\n", "SuccessExitStatus", "255", 3},
		{"a.service", service + "UMask=999\n", "UMask", "octal", 3},
		{"a.service", service + "RemainAfterExit=perhaps\n", "RemainAfterExit", "yes", 3},
		{"a.service", service + "StandardOutput=socket\n", "StandardOutput", "systemd", 3},
		{"a.service", service + "[Mount]\nWhat=/dev/sda\n", "What", "[Mount]", 4},
		{"a.service", "[Service]\nType=simple\n", "", "nothing to run", 2},
		{"a.target", service, "ExecStart", "target", 2},
		{"a.socket", "[Socket]\nListenStream=80\n", "", "socket units need systemd", 0},
		{"a.timer", "[Timer]\nOnBootSec=1\n", "", "timer units need systemd", 0},
		{"a.path", "[Path]\nPathExists=/x\n", "", "path units need systemd", 0},
		{"a@.service", service, "", "instance", 0},
	} {
		_, err := compileText(t, test.name, test.content)
		var fe *units.FileError
		switch {
		case err == nil:
			t.Errorf("%s %q was taken", test.name, test.content)
		case !strings.Contains(err.Error(), test.option) || !strings.Contains(err.Error(), test.say):
			t.Errorf("%q: %v, want it to name %q and say %q", test.content, err, test.option, test.say)
		case test.line > 0 && (!errors.As(err, &fe) || fe.Line != test.line):
			t.Errorf("%q: %v, want line %d", test.content, err, test.line)
		}
	}
}

func TestCompile(t *testing.T) {
	c, err := compileText(t, "web@1.service", `[Unit]
Description=a web server
After=network-online.target db.service
Requires=network.target
Conflicts=shutdown.target
StartLimitIntervalSec=1min
StartLimitBurst=3
Wants=side@%i.service
[Service]
Type=oneshot
Environment="A=1 2" B=%i
EnvironmentFile=-/etc/default/%p
ExecStart=/bin/a ; /bin/b
ExecStart=
ExecStart=/bin/c ; -/bin/d
TimeoutSec=5
TimeoutStopSec=infinity
KillSignal=QUIT
SuccessExitStatus=3 SIGKILL TEMPFAIL
RestartPreventExitStatus=4
WorkingDirectory=-~
RestartSec=2
X-Mine=1
[X-Fleet]
Global=true
[Install]
WantedBy=multi-user.target
`)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Start) != 2 || c.Start[0].Program != "/bin/c" || !c.Start[1].IgnoreFailure ||
		c.StartTimeout != 5*time.Second ||
		c.StopTimeout != timespan.Infinity || c.KillSignal != syscall.SIGQUIT || c.LimitInterval != time.Minute ||
		c.LimitBurst != 3 ||
		c.WorkingDirectory != "~" || !c.DirectoryMissing || c.RestartDelay != 2*time.Second ||
		c.Wants[0] != "side@1.service" ||
		c.Environment[0] != [2]string{"A", "1 2"} || c.Environment[1] != [2]string{"B", "1"} ||
		c.EnvironmentFiles[0] != (environmentFile{"/etc/default/web", true}) {
		t.Errorf("%+v", c)
	}
	for x, want := range map[exit]bool{{Known: true, Code: 3}: true, {Known: true, Code: 75}: true,
		{Known: true, Signal: 9}: true, {Known: true, Code: 9}: false, {}: false} {
		if c.Success.has(x) != want {
			t.Errorf("SuccessExitStatus of %v: %v", x, !want)
		}
	}
}

func TestEnvironmentFile(t *testing.T) {
	got := map[string]string{"A": "old"}
	parseEnvironmentFile("# comment\n; another\nA=1\n  B = two words  \nC=\"quo\\\"ted  \" \nD='sin$gle\nlines'\nE=con\\\ntinued\nno assignment\n1X=bad\nF=\nG=a#b\r\nH=\"x\"y", got)
	want := map[string]string{"A": "1", "B": "two words", "C": `quo"ted  `, "D": "sin$gle\nlines", "E": "continued", "F": "", "G": "a#b", "H": "xy"}
	if !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMembers(t *testing.T) {
	p := func(pid, parent, session int, start uint64, invocation string) stat {
		return stat{procID: procID{pid, start}, Parent: parent, Session: session, Invocation: invocation}
	}
	zombie := p(12, 10, 10, 105, "")
	zombie.Zombie = true
	table := []stat{
		p(10, 1, 10, 100, "me"), p(11, 10, 10, 101, ""), zombie, // a session and its members
		p(13, 12, 13, 106, ""),                               // child of a zombie member
		p(20, 1, 20, 110, "me"), p(21, 20, 21, 111, "other"), // marked; a descendant whatever its mark
		p(30, 1, 30, 120, "other"), p(31, 1, 40, 121, ""), // somebody else's; leader gone, session known
		p(32, 1, 50, 122, ""), p(50, 1, 50, 119, ""), // the session's number belongs to another process by now
		p(33, 1, 40, 90, ""),       // older than the session
		p(34, 1, 40, 125, "other"), // carries another unit's mark
	}
	got := members(table, "me", []procID{{10, 100}, {40, 95}, {50, 60}}, nil)
	var pids []int
	for _, id := range got {
		pids = append(pids, id.PID)
	}
	if want := []int{10, 11, 13, 20, 21, 31}; !slices.Equal(pids, want) {
		t.Errorf("members %v, want %v", pids, want)
	}
}
