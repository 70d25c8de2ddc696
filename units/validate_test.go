package units

import (
	"errors"
	"strings"
	"testing"
)

// acceptable are files that systemd 252 takes, if the programs they name exist.
var acceptable = []struct{ name, unit, content string }{
	{"simple", "web.service", "[Service]\nExecStart=/bin/web\n"},
	{"template", "web@.service", "[Service]\nExecStart=/bin/web %i\n[X-Fleet]\nConflicts=web@*.service\n"},
	{"template with a machine each", "web@.service", "[Service]\nExecStart=/bin/web\n[X-Fleet]\nMachineID=%i\n"},
	{"all of systemd's types", "web.service", "[Service]\nType=notify-reload\nExecStart=/bin/web\n"},
	{"ExecStart taken back", "web.service", "[Service]\nExecStart=/bin/a\nExecStart=\nExecStart=/bin/b\n"},
	{"oneshot with several", "web.service", "[Service]\nType=oneshot\nExecStart=/bin/a\nExecStart=/bin/b ; /bin/c\n"},
	{"oneshot with stop alone", "web.service", "[Service]\nExecStop=/bin/a\nRemainAfterExit=1\n"},
	{"oneshot restarted on failure", "web.service", "[Service]\nType=oneshot\nExecStart=/bin/a\nRestart=on-failure\n"},
	{"ends the machine", "web.service", "[Unit]\nSuccessAction=exit\n"},
	{"bus name makes the type", "web.service", "[Service]\nBusName=a.b\nExecStart=/bin/a\n"},
	{"type taken back", "web.service", "[Service]\nType=oneshot\nType=\nExecStart=/bin/a\nExecStart=/bin/b\n"},
	{"prefixes", "web.service", "[Service]\nExecStartPre=-+/bin/a\nExecStart=@/bin/b c\nExecStop=-:!/bin/d\n"},
	{"program by name", "web.service", "[Service]\nExecStart=sleep 5\n"},
	{"program by specifier", "web.service", "[Service]\nExecStart=%h/bin/a\n"},
	{"a lenient command that can't be", "web.service", "[Service]\nExecStart=/bin/a\nExecStartPre=-bin/b\nExecStartPost=-\"b\n"},
	{"escapes", "web.service", "[Service]\nExecStart=/bin/a\\x41 \\t \\q \\x00 \\777\n"},
	{"program by a template's specifier", "web@.service", "[Service]\nExecStart=%f/bin/a\n"},
	{"escaped semicolon", "web.service", "[Service]\nExecStart=/usr/bin/find . -exec ls {} \\;\n"},
	{"quoted semicolon", "web.service", "[Service]\nExecStart=/bin/a ';' b\n"},
	{"glued semicolon", "web.service", "[Service]\nExecStart=/bin/a;/bin/b\n"},
	{"semicolon at the end", "web.service", "[Service]\nExecStart=/bin/a ;\n"},
	{"quotes", "web.service", "[Service]\nExecStart=/bin/sh -c \"echo 'a' \\\" ; b\" it\\'s '' \"\"\n"},
	{"continuation", "web.service", "[Service]\nExecStart=/bin/a \\\n # it's not \\\n  'b \\\n c'\n"},
	{"continuations of every kind", "web.service", "[Unit]\nDescription=a \\\n  b\n[Service]\nType=\\\n  oneshot\nEnvironment=A=1 \\\n  # c\\\n  B=2\nExecStart=\\\n /bin/a \\\n\nRemainAfterExit=\\\nyes\n"},
	{"specifiers", "web@1.service", "[Service]\nExecStart=/bin/date +%%F%% %i %- 100% \"%\"\nEnvironment=A=%n%%F\n"},
	{"a percent sign in what is for people", "web.service", "[Unit]\nDescription=100%Zero\nDocumentation=https://a/b%20c\n[Service]\nExecStart=/bin/a\n[X-Other]\nA=%F\n"},
	{"a no-break space within a word", "web.service", "[Service]\nExecStart=/bin/a b\u00a0c\n"},
	{"foreign sections", "web.service", "[Socket]\nListenStream=80\n[Service]\nExecStart=/bin/a\n[Install]\nWantedBy=x.target\n[X-Other]\nA=b\n[Typo]\nA=b\n"},
	{"unknown settings", "web.service", "[Service]\nExecStart=/bin/a\nNoSuch=1\n"},
	{"socket", "web.socket", "[Socket]\nListenStream=80\n"},
	{"accepting socket", "web.socket", "[Socket]\nListenStream=80\nListenSequentialPacket=/run/a\nAccept=yes\n"},
	{"socket of another service", "web.socket", "[Socket]\nListenDatagram=80\nAccept=no\nService=a.service\n"},
	{"timer", "web.timer", "[Timer]\nOnCalendar=daily\n"},
	{"timer on clock changes", "web.timer", "[Timer]\nOnBootSec=1\nOnBootSec=\nOnClockChange=yes\n"},
	{"path", "web.path", "[Path]\nPathExists=foo\nPathChanged=/foo\n"},
	{"path by specifier", "web@1.path", "[Path]\nDirectoryNotEmpty=%t/%i\n"},
	{"target", "web.target", "[Unit]\nWants=a.service\n"},
	{"mount", "srv-data.mount", "[Mount]\nWhat=tmpfs\nWhere=/srv/data\nType=tmpfs\n"},
	{"mount by its name", "srv-data.mount", "[Mount]\nWhat=tmpfs\nType=tmpfs\n"},
	{"mount of an unclean path", "srv-data.mount", "[Mount]\nWhat=tmpfs\nWhere=/srv//./data/\n"},
	{"mount of an escaped path", "srv-a\\x2db.mount", "[Mount]\nWhat=tmpfs\nWhere=/srv/a-b\n"},
	{"mount by specifier", "run-x.mount", "[Mount]\nWhat=tmpfs\nWhere=%t/x\n"},
	{"automount", "srv-data.automount", "[Automount]\nWhere=/srv/data\n"},
	{"automount by its name", "srv-data.automount", "[Unit]\nDescription=a\n"},
}

func TestValidateAccepts(t *testing.T) {
	for _, tt := range acceptable {
		t.Run(tt.name, func(t *testing.T) {
			if err := Validate(mustName(t, tt.unit), mustParse(t, tt.content)); err != nil {
				t.Error(err)
			}
		})
	}
}

// refusable are files that systemd 252 refuses to load too, or of which it
// drops a setting with a warning.
var refusable = []struct {
	name, unit, content string
	line                int
	want                string
}{
	{"no section", "web.service", "[Unit]\nDescription=x\n", 0, "web.service needs a [Service] section: add one with ExecStart="},
	{"another type's section", "web@1.service", "[Unit]\nA=b\n[Socket]\nListenStream=80\n", 3, "has a [Socket] one: name it web@1.socket"},
	{"section in lower case", "web.service", "[service]\nExecStart=/bin/a\n", 1, "write it as [Service]"},
	{"nothing to run", "web.service", "[Unit]\nA=b\n\n[Service]\nType=oneshot\n", 4, "nothing to run: add ExecStart="},
	{"nothing left to run", "web.service", "[Service]\nExecStart=/bin/a\nExecStart=\n", 1, "nothing to run"},
	{"nothing to run and remain", "web.service", "[Service]\nRemainAfterExit=yes\n", 1, "nothing to run"},
	{"ends at once", "web.service", "[Service]\nExecStop=/bin/a\n", 1, "ends as soon as it starts"},
	{"ends at once, oneshot", "web.service", "[Service]\nType=oneshot\nRemainAfterExit=no\nExecStop=/bin/a\n", 1, "ends as soon as it starts"},
	{"stop alone, simple", "web.service", "[Service]\nExecStop=/bin/a\nType=simple\n", 3, "must be Type=oneshot, not simple"},
	{"several commands", "web.service", "[Service]\nExecStart=/bin/a\n\nExecStart=/bin/b\n", 4, "only for Type=oneshot, and the type is simple"},
	{"several on a line", "web.service", "[Service]\nType=exec\nExecStart=/bin/a ; /bin/b\n", 3, "the type is exec"},
	{"oneshot for ever", "web.service", "[Service]\nType=oneshot\nExecStart=/bin/a\nRestart=always\n", 4, "Restart=always is not for Type=oneshot"},
	{"oneshot for ever after an empty one", "web.service", "[Service]\nType=oneshot\nExecStart=/bin/a\nRestart=on-success\nRestart=\n", 4, "not for Type=oneshot"},
	{"dbus without a name", "web.service", "[Service]\nExecStart=/bin/a\nType=dbus\n", 3, "add BusName="},
	{"unknown type", "web.service", "[Service]\nType=simpel\nExecStart=/bin/a\n", 2, "Type=simpel is not known: did you mean simple?"},
	{"unknown restart", "web.service", "[Service]\nExecStart=/bin/a\nRestart=onfailure\n", 3, "Restart=onfailure is not known: did you mean on-failure?"},
	{"relative program", "web.service", "[Service]\nExecStart=/bin/a\nExecStartPre=bin/b\n", 3, "bin/b is a relative path"},
	{"relative program, named", "web.service", "[Service]\nExecStart=@bin/b c\n", 2, "bin/b is a relative path"},
	{"relative program, second command", "web.service", "[Service]\nType=oneshot\nExecStart=/bin/a ; bin/b\n", 3, "bin/b is a relative path"},
	{"relative program by specifier", "web.service", "[Service]\nExecStart=%n/bin/a\n", 2, "%n/bin/a is a relative path"},
	{"program with a percent sign", "web.service", "[Service]\nExecStart=%%/bin/a\n", 2, "is a relative path"},
	{"program with a quote", "web.service", "[Service]\nExecStart=/bin/a\\'b c\n", 2, "has a quote, a backslash or a control character"},
	{"program with an unknown escape", "web.service", "[Service]\nExecStart=\\/bin/a\n", 2, "has a quote, a backslash"},
	{"program with a tabulator", "web.service", "[Service]\nExecStart=/bin/a\\tb\n", 2, "a control character"},
	{"folder for a program", "web.service", "[Service]\nExecStart=..\n", 2, ".. is a directory"},
	{"no argv[0]", "web.service", "[Service]\nExecStart=@/bin/a\n", 2, "the prefix @ needs one more word"},
	{"no argv[0] before a semicolon", "web.service", "[Service]\nType=oneshot\nExecStart=@/bin/a ; /bin/b\n", 3, "the prefix @ needs one more word"},
	{"directory", "web.service", "[Service]\nExecStart=/bin/\n", 2, "/bin/ is a directory"},
	{"prefix alone", "web.service", "[Service]\nExecStart=+ /bin/a\n", 2, "there is no program"},
	{"no program", "web.service", "[Service]\nExecStart=\"\" a\n", 2, "there is no program"},
	{"lenient prefix alone", "web.service", "[Service]\nExecStart=- /bin/a\n", 1, "nothing to run"},
	{"lenient relative program", "web.service", "[Service]\nExecStart=-bin/a\n", 1, "nothing to run"},
	{"lenient apostrophe", "web.service", "[Service]\nExecStart=-/bin/echo don't\n", 1, "nothing to run"},
	{"the rest of a lenient line", "web.service", "[Service]\nExecStart=-bin/a ; /bin/b\n", 1, "nothing to run"},
	{"apostrophe", "web.service", "[Service]\nExecStart=/bin/echo don't\n", 2, "a quote (') is not closed"},
	{"open quote around all", "web.service", "[Service]\nExecStart=\"/bin/echo a\n", 2, "is not closed"},
	{"unknown specifier", "web.service", "[Service]\nExecStart=/bin/sh -c 'date +\"%F %T\"'\n", 2, "%F is no specifier of systemd, which refuses it: write %%F for"},
	{"unknown specifier in a continuation", "web.service", "[Service]\nExecStart=/bin/sh \\\n -c 'date +%x'\n", 2, "write %%x"},
	{"unknown specifier behind a quote", "web.service", "[Service]\nExecStart=/bin/date +%\"F\"\n", 2, "write %%F"},
	{"unknown specifier after percent signs", "web.service", "[Service]\nExecStart=/bin/a %%%%%1\n", 2, "write %%1"},
	{"unknown specifier in a lenient command", "web.service", "[Service]\nExecStart=/bin/a\nExecStartPre=-/bin/date +%F\n", 3, "write %%F"},
	{"unknown specifier in the environment", "web.service", "[Service]\nEnvironment=A=%k\nExecStart=/bin/a\n", 2, "write %%k"},
	{"unknown specifier for a user", "web.service", "[Service]\nUser=%z\nExecStart=/bin/a\n", 2, "write %%z"},
	{"unknown specifier in a dependency", "web.service", "[Unit]\nAfter=a@%x.service\n[Service]\nExecStart=/bin/a\n", 2, "write %%x"},
	{"unknown specifier in a socket", "web.socket", "[Socket]\nListenStream=/run/%F\n", 2, "write %%F"},
	{"socket without a section", "web.socket", "[Unit]\nA=b\n", 0, "needs a [Socket] section"},
	{"deaf socket", "web.socket", "[Socket]\nAccept=no\n", 1, "listens to nothing: add ListenStream="},
	{"socket made deaf", "web.socket", "[Socket]\nListenStream=80\nListenFIFO=\n", 1, "listens to nothing"},
	{"accepting datagrams", "web.socket", "[Socket]\nListenDatagram=80\nAccept=yes\n", 2, "ListenDatagram can't accept connections"},
	{"accepting for one service", "web.socket", "[Socket]\nListenStream=80\nAccept=yes\nService=a.service\n", 4, "Service can't be chosen with Accept=yes (line 3)"},
	{"timer without a section", "web.timer", "[Service]\nExecStart=/bin/a\n", 1, "name it web.service, or add [Timer]"},
	{"timer that never elapses", "web.timer", "[Timer]\nPersistent=true\n", 1, "never elapses: add OnCalendar="},
	{"timer taken back", "web.timer", "[Timer]\nOnCalendar=daily\nOnBootSec=\nOnClockChange=no\n", 1, "never elapses"},
	{"blind path", "web.path", "[Path]\nMakeDirectory=yes\n", 1, "watches nothing: add PathExists="},
	{"relative path", "web.path", "[Path]\nPathExists=foo\n", 2, "PathExists=foo is no absolute path"},
	{"path without a section", "web.path", "[Unit]\nA=b\n", 0, "needs a [Path] section"},
	{"mount without a section", "srv-data.mount", "[Unit]\nA=b\n", 0, "needs a [Mount] section: add one with What="},
	{"mount of nothing", "srv-data.mount", "[Mount]\nWhat=a\nWhat=\nWhere=/srv/data\n", 1, "mounts nothing: add What="},
	{"mount elsewhere", "srv-data.mount", "[Mount]\nWhat=tmpfs\nWhere=/srv/other-data\n", 3,
		`Where=/srv/other-data belongs to srv-other\x2ddata.mount, and the unit is named srv-data.mount: rename one of the two`},
	{"automount elsewhere", "srv-data.automount", "[Automount]\nWhere=/srv/x\n", 2, "belongs to srv-x.automount"},
	{"misspelt X-Fleet", "web.service", "[Service]\nExecStart=/bin/a\n[x-fleet]\nGlobal=true\n", 3, "[x-fleet] would be ignored: write it as [X-Fleet]"},
	{"X-Fleet without its X", "web.target", "[Unit]\nA=b\n[Fleet]\nGlobal=true\n", 3, "write it as [X-Fleet]"},
	{"rerun of what runs on", "web.service", "[Service]\nExecStart=/bin/a\n[X-Fleet]\nRerun=true\n", 4, "Rerun= is for a service that runs once and ends"},
	{"rerun of what remains", "web.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/a\n[X-Fleet]\nRerun=true\n", 6, "remove the line"},
	{"rerun of a timer", "web.timer", "[Timer]\nOnBootSec=1\n[X-Fleet]\nRerun=true\n", 4, "remove the line"},
	{"exclusive timer", "web.timer", "[Timer]\nOnBootSec=1\n[X-Fleet]\nExclusive=true\n", 4, "write it into the service that it starts"},
	{"bad requirement", "web.target", "[Unit]\nA=b\n[X-Fleet]\nGlobal=maybe\n", 4, "neither yes nor no"},
}

func TestValidateRefuses(t *testing.T) {
	for _, tt := range refusable {
		t.Run(tt.name, func(t *testing.T) {
			err := Validate(mustName(t, tt.unit), mustParse(t, tt.content))
			if err == nil {
				t.Fatal("accepted")
			}
			wantFileError(t, err, tt.line, tt.want)
		})
	}
}

func TestValidateRefusesLongNames(t *testing.T) {
	f := mustParse(t, "[Service]\nExecStart=/bin/a\n")
	for length := MaxNameLength - 1; length <= maxNameLength; length++ {
		for _, prefix := range []string{"", "web@"} {
			n := mustName(t, prefix+strings.Repeat("x", length-len(prefix)-len(".service"))+".service")
			err := Validate(n, f)
			if length <= MaxNameLength && err != nil {
				t.Errorf("%d bytes: %v", length, err)
			}
			if length > MaxNameLength && (err == nil || !strings.Contains(err.Error(), "shorten it to at most 240")) {
				t.Errorf("%d bytes: %v, expected advice to shorten it", length, err)
			}
		}
	}
}

func TestValidateRefusesTypes(t *testing.T) {
	err := Validate(mustName(t, "dev-sda.swap"), mustParse(t, "[Swap]\nWhat=/dev/sda\n"))
	const want = "dev-sda.swap is a swap unit, and only automount, mount, path, service, socket, target and timer units can be run"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	var fe *FileError
	if errors.As(err, &fe) {
		t.Error("the file is blamed for its name")
	}
}
