//go:build e2e

package e2e

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
)

// chatty logs at several priorities, over more than a second, and ends.
const chatty = `[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/bash -c 'for i in {1..8}; do echo "line $i"; echo "<3>Broken $i"; echo "<4>warned $i"; echo "<7>detail $i"; sleep 0.3; done'
`

// TestJournalLikeJournalctl asks fleettop and journalctl the same, with the
// same flags, and wants the same answers and exit codes.
func TestJournalLikeJournalctl(t *testing.T) {
	f := newFleet(t, 1, setup{unwatched: true})
	n1 := f.machines[0]
	f.start(n1, map[string]string{"chatty.service": chatty})
	berlin, err := time.LoadLocation("Europe/Berlin")
	f.must(err)
	stamps := strings.Fields(f.on(n1, "bash", "-c",
		"journalctl --unit=chatty --output=export --grep='line 5' | sed -n s/__REALTIME_TIMESTAMP=//p"))
	if len(stamps) != 1 {
		t.Fatalf("line 5 was logged at %q", stamps)
	}
	us, err := strconv.ParseInt(stamps[0], 10, 64)
	f.must(err)
	at := time.UnixMicro(us).In(berlin)

	cases := [][]string{
		{"-n", "all"}, {"-n", "5"}, {"-n", "3", "--utc"}, {"-n", "3", "--no-hostname"}, {"-o", "cat", "-n", "all"},
		{"-p", "err"}, {"-p", "3"}, {"-p", "warning..err"}, {"-p", "debug", "-n", "all"}, {"-p", "warning", "-o", "cat"},
		{"-g", "line [12]$"}, {"-g", "broken"}, {"-g", "Broken"}, {"-g", "BROKEN"}, {"-g", "nothing of this"}, {"-p",
			"emerg"},
	}
	// Times as the logs, `fleettop status` and people write them.
	for _, form := range []string{"Jan _2 15:04:05", "Mon 2006-01-02 15:04:05 MST", "2006-01-02 15:04:05",
		"2006-01-02 15:04:05.999999", "15:04:05", "2006-01-02 15:04"} {
		when := at.Format(form)
		cases = append(cases, []string{"-S", when}, []string{"-U", when}, []string{"-S", when, "-U", "now", "-p", "err"})
	}
	utc := at.UTC().Format("2006-01-02 15:04:05.999999 UTC")
	cases = append(cases, []string{"-S", utc}, []string{"-U", utc}, []string{"-S", utc, "-U", utc},
		[]string{"-S", "@" + stamps[0][:10]},
		[]string{"-S", "-1h"}, []string{"-U", "1 hour ago"}, []string{"-S", "today", "-g", "line"}, []string{"-S",
			"yesterday", "-U", "tomorrow"})
	for _, args := range cases {
		want, wantCode := answer(f, n1, append([]string{"journalctl", "--no-pager", "--quiet", "--unit=chatty"}, args...))
		got, code := answer(f, n1, append([]string{"fleettop", "journal", "chatty"}, args...))
		if got != want || code != wantCode {
			t.Errorf("%q: exit code %d, journalctl's is %d\n%s\nand journalctl\n%s", args, code, wantCode, got, want)
		}
	}
	if code, said := f.refusal(n1, "journal", "chatty", "-S", "now", "-U", "-1h"); code != 2 ||
		!strings.Contains(said, "nothing was logged in between") {
		t.Errorf("a time that ends before it begins: exit code %d, %s", code, said)
	}
}

// answer runs a command where the time is Berlin's, and returns what it writes and its exit code.
func answer(f *fleet, m *lab.Machine, args []string) (string, int) {
	f.t.Helper()
	out, err := m.Command(f.ctx, append([]string{"env", "TZ=Europe/Berlin"}, args...)...).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(out), exit.ExitCode()
	}
	f.must(err)
	return string(out), 0
}
