//go:build e2e && figures

package e2e

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fleettop/daemon/api"
	"fleettop/journal"
	"fleettop/tui/tuitest"
)

const (
	floodRate = 5000 // lines a second
	floodFor  = 2 * time.Minute
	lagMost   = time.Second // of 99 in 100 lines
)

// steadyFlood logs lines at a rate that the clock gives, each with its time and number.
const steadyFlood = `exec 3<> <(:)
until [ -e /root/steady ]; do read -t 0.1 -u 3; done
now=$EPOCHREALTIME; start=${now/./}; n=0
while [ $n -lt %d ]; do
  for i in {1..50}; do echo "at $EPOCHREALTIME $n"; n=$((n+1)); done
  now=$EPOCHREALTIME; due=$((start + n * 1000000 / %d - ${now/./}))
  if [ $due -gt 0 ]; then printf -v wait '%%d.%%06d' $((due / 1000000)) $((due %% 1000000)); read -t $wait -u 3; fi
done
echo "the end"
sleep infinity
`

// TestJournalFiguresFlood follows a unit that logs 5,000 lines a second for two minutes: how long lines take to a
// follower through the API and to the screen of a console, and whether each line comes or is told to be missing.
func TestJournalFiguresFlood(t *testing.T) {
	f := newFleet(t, 2, setup{unwatched: true, limit: 2 * testLimit})
	const lines = floodRate * int(floodFor/time.Second)
	for _, m := range f.machines {
		f.must(m.WriteFile("/etc/systemd/journald.conf.d/rate.conf",
			[]byte("[Journal]\nRateLimitIntervalSec=0\nRuntimeMaxUse=400M\n"), 0o644))
		f.must(m.WriteFile("/root/steady.sh", fmt.Appendf(nil, steadyFlood, lines, floodRate), 0o755))
		f.on(m, "systemctl", "restart", "systemd-journald")
	}
	f.start(f.machines[0], map[string]string{"steady.service": "[Service]\nExecStart=/bin/bash /root/steady.sh\n"})
	home := f.machines[0]
	if strings.Contains(f.verb(home, "list-units", "--no-legend"), f.machines[1].IP.String()) {
		home = f.machines[1]
	}
	other := f.others(home)[0]

	cmd := home.Command(f.ctx, "fleettop")
	cmd.Env = append(cmd.Env, "TERM=xterm-256color")
	screen, err := tuitest.StartPty(cmd, 120, 40)
	f.must(err)
	for _, step := range []struct{ keys, sees string }{{"", "machines up"}, {"2/steady\r", "1 unit"}, {"l", "following"}} {
		f.must(screen.Type(step.keys))
		f.must(screen.Await(step.sees, soon))
	}
	told := make(chan followed, 1)
	go func() { told <- f.followFlood(f.client(other), "steady.service") }()
	f.must(home.WriteFile("/root/steady", nil, 0o644))
	began := time.Now()
	shown, behind := f.watchFlood(screen, floodFor+time.Minute)
	got := <-told
	f.must(got.err)
	rate := float64(lines) / time.Since(began).Seconds()
	t.Logf("%d lines in %s, %.0f a second; load %s", lines, time.Since(began).Round(time.Second), rate, loadAverage(t))
	t.Logf("a line takes to a follower on another machine: median %.0f ms, p99 %.0f ms, at most %.0f ms; "+
		"%d lines missed and told",
		ms(quantile(got.took, 0.5)), ms(quantile(got.took, 0.99)), ms(quantile(got.took, 1)), got.missed)
	t.Logf("age of the newest line on the console's screen: median %.0f ms, p99 %.0f ms, at most %.0f ms; "+
		"it said %d times of %d that it is behind",
		ms(quantile(shown, 0.5)), ms(quantile(shown, 0.99)), ms(quantile(shown, 1)), behind, len(shown))
	if got.lines+got.missed != lines {
		t.Errorf("%d lines came and %d were told to be missing, of %d", got.lines, got.missed, lines)
	}
	for what, took := range map[string][]time.Duration{"a follower": got.took, "the screen": shown} {
		if p99 := quantile(took, 0.99); p99 > lagMost {
			t.Errorf("of the lines to %s one in a hundred takes %s or longer; load %s", what, p99, loadAverage(t))
		}
	}
	f.must(screen.Type("q"))
	f.must(screen.Close(soon))
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// followed is what a follower was told.
type followed struct {
	lines, missed int
	took          []time.Duration
	err           error
}

// follower is what a daemon is asked for a log through.
type follower interface {
	JournalBatches(ctx context.Context, o api.JournalOptions, f func([]journal.Entry) error) error
}

// followFlood follows a flood until its end. Numbers that don't come without a word of it are an error.
func (f *fleet) followFlood(c follower, unit string) (got followed) {
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	next, silent := 0, 0
	got.err = c.JournalBatches(ctx, api.JournalOptions{Unit: unit, Lines: -1, Follow: true}, func(list []journal.Entry) error {
		now := time.Now()
		for _, l := range list {
			got.missed += l.Missed
			at, n, ok := stamp(l.Message)
			switch {
			case l.Message == "the end":
				cancel()
			case !ok:
			default:
				silent += n - next
				next = n + 1
				got.lines++
				got.took = append(got.took, now.Sub(at))
			}
		}
		return nil
	})
	if ctx.Err() != nil && f.ctx.Err() == nil {
		got.err = nil
	}
	if silent > got.missed {
		got.err = fmt.Errorf("%d lines are missing and %d were told to be", silent, got.missed)
	}
	return got
}

// stamped is a line of the flood.
var stamped = regexp.MustCompile(`at (\d+)\.(\d{6}) (\d+)`)

// stamp is when a line of the flood was written, and its number.
func stamp(text string) (at time.Time, n int, ok bool) {
	found := stamped.FindStringSubmatch(text)
	if found == nil {
		return at, 0, false
	}
	s, _ := strconv.ParseInt(found[1], 10, 64) // digits, as the pattern says
	us, _ := strconv.ParseInt(found[2], 10, 64)
	n, _ = strconv.Atoi(found[3])
	return time.Unix(s, us*1000), n, true
}

// watchFlood looks at a console's screen until the flood has ended: how old the newest line on it is, and how often it
// says that it is behind.
func (f *fleet) watchFlood(screen *tuitest.Pty, limit time.Duration) (old []time.Duration, behind int) {
	f.t.Helper()
	end := time.Now().Add(limit)
	tick := time.NewTicker(97 * time.Millisecond)
	defer tick.Stop()
	for ended := false; !ended; {
		<-tick.C
		if time.Now().After(end) {
			f.t.Fatalf("the flood doesn't end on the screen within %s", limit)
		}
		f.must(screen.AwaitThat("the screen", soon, func(text string) bool {
			now := time.Now()
			ended = strings.Contains(text, " the end")
			for _, line := range slices.Backward(strings.Split(text, "\n")) {
				if at, _, ok := stamp(line); ok && !ended {
					old = append(old, now.Sub(at))
					break
				}
			}
			if strings.Contains(text, " behind ") {
				behind++
			}
			return true
		}))
	}
	return old, behind
}
