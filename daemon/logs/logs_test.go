package logs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/journal"
)

func TestFromAnyMachine(t *testing.T) {
	f := newFleet(t, "m1", "m2", "m3")
	f.place("web@1.service", "", "m2")
	f.place("web@2.service", "", "m3")
	f.place("db.service", "", "m3")
	for i := range 3 {
		f.at["m2"].log.log("web@1.service", fmt.Sprint("one ", i))
		f.at["m3"].log.log("web@2.service", fmt.Sprint("two ", i))
		f.at["m3"].log.log("db.service", "other")
	}
	for _, at := range []string{"m1", "m2", "m3"} {
		equal(t, f.all(at, api.JournalOptions{Unit: "web@1.service"}), "one 0", "one 1", "one 2")
		equal(t, f.all(at, api.JournalOptions{Unit: "web@*"}), "one 0", "two 0", "one 1", "two 1", "one 2", "two 2")
		equal(t, f.all(at, api.JournalOptions{Unit: "web@*", Lines: 3}), "two 1", "one 2", "two 2")
		equal(t, f.all(at, api.JournalOptions{Units: []string{"web@1.service", "db.service"}, Grep: "e 2|^o.h"}), "other",
			"other", "one 2", "other")
		equal(t, f.all(at, api.JournalOptions{Unit: "web@*", Machine: "n3"}), "two 0", "two 1", "two 2")
		equal(t, f.all(at, api.JournalOptions{Unit: "web@1.service", Lines: -1}))
	}
	f.at["m2"].log.log("web@1.service", "an error")
	f.at["m3"].log.log("web@2.service", "PANIC")
	for _, at := range []string{"m1", "m2", "m3"} {
		equal(t, f.all(at, api.JournalOptions{Unit: "web@*", Errors: true}), "an error", "PANIC")
	}
	var refused *api.Error
	for _, o := range []api.JournalOptions{{Unit: "none.service"}, {Unit: "none.service", Follow: true}, {Unit: "none*"},
		{Unit: "db.service", Machine: "n9"}} {
		if err := f.watch("m1", o).wait(); !errors.As(err, &refused) || refused.Code != api.CodeNotFound {
			t.Errorf("%+v: %v", o, err)
		}
	}
	for _, o := range []api.JournalOptions{{Unit: "db.service", Since: "bread"}, {Unit: "db.service", Priority: "loud"},
		{Unit: "db.service", Grep: "("}, {Unit: "db.service", Follow: true, Until: "now"}, {}} {
		if err := f.watch("m1", o).wait(); !errors.As(err, &refused) || refused.Code != api.CodeInvalid {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func (v *viewing) wait() error {
	select {
	case err := <-v.done:
		v.done <- err
		return err
	case <-time.After(60 * time.Second):
		return errors.New("it does not end")
	}
}

// TestUnreadable: why a machine's log can't be read is told at once, on that
// machine and elsewhere, and when it can be, the viewer goes on.
func TestUnreadable(t *testing.T) {
	for _, at := range []string{"m1", "m2"} {
		f := newFleet(t, "m1", "m2")
		f.place("a.service", "", "m2")
		log := f.at["m2"].log
		log.refuse(errors.New("permission denied: join the group"))
		for _, follow := range []bool{false, true} {
			v := f.watch(at, api.JournalOptions{Unit: "a.service", Follow: follow})
			eventually(t, func() error {
				v.mu.Lock()
				defer v.mu.Unlock()
				for _, l := range v.list {
					if l.Kind == journal.KindDivider && strings.Contains(l.Text,
						"n2 can't be asked for its lines: permission denied: join the group") {
						return nil
					}
				}
				return fmt.Errorf("following is %v on %s: %+v", follow, at, v.list)
			})
			if follow {
				log.refuse(nil)
				log.log("a.service", "at last")
				eventually(t, func() error {
					v.mu.Lock()
					defer v.mu.Unlock()
					if n := len(v.list); v.list[n-1].Message != "at last" {
						return fmt.Errorf("on %s: %+v", at, v.list)
					}
					return nil
				})
			}
			v.end()
		}
	}
}

func TestOneReaderForAll(t *testing.T) {
	f := newFleet(t, "m1", "m2")
	f.place("a.service", "", "m2")
	log := f.at["m2"].log
	log.log("a.service", "past")
	var viewers []*viewing
	for range 8 {
		viewers = append(viewers, f.watch("m1", api.JournalOptions{Unit: "a.service", Follow: true}))
	}
	for _, v := range viewers {
		v.until(1)
	}
	for i := range 100 {
		log.log("a.service", fmt.Sprint(i))
	}
	for _, v := range viewers {
		equal(t, v.until(101), append([]string{"past"}, numbered("", 0, 100)...)...)
	}
	log.mu.Lock()
	tails, opened := len(log.tails), log.opened
	log.mu.Unlock()
	if tails != 1 || opened != 1 {
		t.Errorf("%d readers for %d viewers, %d in all", tails, len(viewers), opened)
	}
	for _, v := range viewers {
		v.end()
	}
	eventually(t, func() error {
		log.mu.Lock()
		defer log.mu.Unlock()
		if len(log.tails) > 0 {
			return errors.New("nobody looks, and the reader goes on")
		}
		return nil
	})
}

func eventually(t testing.TB, check func() error) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestFollowsTheUnit(t *testing.T) {
	f := newFleet(t, "m1", "m2", "m3")
	f.place("a.service", "", "m3")
	old, next := f.at["m3"].log, f.at["m1"].log
	for i := range 5 {
		old.log("a.service", fmt.Sprint("old ", i))
	}
	v := f.watch("m2", api.JournalOptions{Unit: "a.service", Lines: 2, Follow: true})
	v.until(2)
	old.log("a.service", "old 5")
	v.until(3)

	// The machine dies with lines that it could not tell any more.
	f.down("m3", cluster.Failed)
	old.log("a.service", "untold 0")
	old.log("a.service", "untold 1")
	f.place("a.service", "m3", "m1")
	next.log("a.service", "new 0")
	next.log("a.service", "new 1")
	time.Sleep(50 * time.Millisecond) // the lines are there before the outage is known
	f.recordActive()
	next.log("a.service", "new 2")
	equal(t, v.until(7), "old 3", "old 4", "old 5", "[moved n3 → n1, outage 1.12s]", "new 0", "new 1", "new 2")

	// It comes back, and tells what it could not.
	f.up("m3")
	equal(t, v.until(10)[7:], "[n3 is back: what it had logged and could not tell]", "untold 0", "untold 1")

	// A unit that is moved from a living machine is moved at once.
	f.place("a.service", "m1", "m3")
	old.log("a.service", "again")
	equal(t, v.until(12)[10:], "[moved n1 → n3]", "again")

	got := f.all("m2", api.JournalOptions{Unit: "a.service"})
	want := append(append(numbered("old ", 0, 6), "untold 0", "untold 1"), "new 0", "new 1", "new 2", "again")
	got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "[") })
	equal(t, got, want...)
}

// onWatch is a fleet with a.service on m3, whose log is followed on m2 and shows
// "old"; next is the log of m1, where the unit is to come.
func onWatch(t *testing.T) (f *fleet, v *viewing, next *memLog) {
	t.Helper()
	f = newFleet(t, "m1", "m2", "m3")
	f.place("a.service", "", "m3")
	f.at["m3"].log.log("a.service", "old")
	v = f.watch("m2", api.JournalOptions{Unit: "a.service", Lines: 2, Follow: true})
	v.until(1)
	return f, v, f.at["m1"].log
}

// recordActive puts on the timeline that a.service, which was moved from m3, is
// active on m1 after 1.12 s.
func (f *fleet) recordActive() {
	f.t.Helper()
	f.must(f.store.Record(f.t.Context(), cluster.Event{Kind: cluster.EventActive, Unit: "a.service", From: "m3", To: "m1",
		Machine: "m1",
		Outage:  &cluster.Outage{Detect: 700 * time.Millisecond, Start: 420 * time.Millisecond}}))
}

// TestOutageMissed: a move and its outage that came about while the store was away are told.
func TestOutageMissed(t *testing.T) {
	f, v, next := onWatch(t)

	cut := f.store
	cut.SetReachable(false)
	eventually(t, func() error {
		if _, live, _, _ := f.view.LastKnown(); live {
			return errors.New("the loss isn't noticed")
		}
		return nil
	})
	f.store = f.mem.Open()
	f.down("m3", cluster.Failed)
	f.place("a.service", "m3", "m1")
	f.recordActive()
	next.log("a.service", "new")
	cut.SetReachable(true)
	equal(t, v.until(3), "old", "[moved n3 → n1, outage 1.12s]", "new")
}

// TestMoveBeforeTheVerdict: the leader moves what this machine only suspects,
// or takes for alive; the outage is told nevertheless.
func TestMoveBeforeTheVerdict(t *testing.T) {
	for state, want := range map[cluster.HealthState][]string{
		cluster.Suspect: {"old", "[moved n3 → n1, outage 1.12s]", "new"},
		cluster.Up:      {"old", "[moved n3 → n1]", "new", "[is active on n1, outage 1.12s]"},
	} {
		f, v, next := onWatch(t)
		f.health.set("m3", state)
		f.place("a.service", "m3", "m1")
		next.log("a.service", "new")
		if state == cluster.Up {
			v.until(3)
		}
		f.recordActive()
		equal(t, v.until(len(want)), want...)
	}
}

func TestOutageNeverKnown(t *testing.T) {
	f := newFleet(t, "m1", "m2")
	f.place("a.service", "", "m2")
	v := f.watch("m1", api.JournalOptions{Unit: "a.service", Lines: -1, Follow: true})
	eventually(t, func() error { // until it is followed, nothing is heard of what was before
		f.at["m2"].log.log("a.service", "before")
		if len(v.texts()) == 0 {
			return errors.New("it is not followed")
		}
		return nil
	})
	f.down("m2", cluster.Failed)
	f.place("a.service", "m2", "m1")
	f.at["m1"].log.log("a.service", "first")
	eventually(t, func() error {
		if got := v.texts(); got[len(got)-1] != "first" {
			return fmt.Errorf("got %q", got)
		}
		return nil
	})
	got := v.texts()
	equal(t, got[len(got)-2:], "[moved n2 → n1]", "first")
}

// TestDaemonRestarts: what is logged while a machine's daemon is away comes when it is back, once.
func TestDaemonRestarts(t *testing.T) {
	f := newFleet(t, "m1", "m2")
	f.place("a.service", "", "m2")
	log := f.at["m2"].log
	v := f.watch("m1", api.JournalOptions{Unit: "a.service", Follow: true})
	log.log("a.service", "0")
	v.until(1)
	for i := 1; i < 10; i += 3 {
		log.log("a.service", fmt.Sprint(i))
		f.down("m2", cluster.DaemonGone)
		log.log("a.service", fmt.Sprint(i+1))
		f.up("m2")
		log.log("a.service", fmt.Sprint(i+2))
	}
	equal(t, v.until(10), numbered("", 0, 10)...)
}

func TestResume(t *testing.T) {
	f := newFleet(t, "m1", "m2")
	f.place("a.service", "", "m2")
	log := f.at["m2"].log
	for i := range 6 {
		log.log("a.service", fmt.Sprint(i))
	}
	v := f.watch("m1", api.JournalOptions{Unit: "a.service", Follow: true, Positions: true})
	v.until(6)
	v.end()
	after := map[string]string{}
	lines := slices.DeleteFunc(v.list, func(e journal.Entry) bool { return e.Kind == journal.KindPosition })
	for _, l := range lines[:4] {
		after[l.Machine] = string(l.Cursor)
	}
	delete(after, "m1")
	rest := f.watch("m2", api.JournalOptions{Unit: "a.service", Follow: true, Lines: 1, After: after})
	equal(t, rest.until(2), "4", "5")
}

func TestUnitsThatCome(t *testing.T) {
	f := newFleet(t, "m1", "m2")
	f.place("web@1.service", "", "m2")
	v := f.watch("m1", api.JournalOptions{Unit: "web@*", Follow: true})
	f.at["m2"].log.log("web@1.service", "one")
	v.until(1)
	f.place("web@2.service", "", "m2")
	f.at["m2"].log.log("web@2.service", "two")
	f.place("web@3.service", "", "m1")
	f.at["m1"].log.log("web@3.service", "three")
	got := v.until(3)
	slices.Sort(got)
	equal(t, got, "one", "three", "two")
}

// TestSlowViewer: who reads nothing holds up nobody, and is told what it missed.
func TestSlowViewer(t *testing.T) {
	f := newFleet(t, "m1")
	f.place("a.service", "", "m1")
	log := f.at["m1"].log
	s := f.at["m1"].service
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asleep, awake := make(chan struct{}), make(chan struct{})
	var told, missed int
	done := make(chan error, 1)
	go func() {
		first := true
		done <- s.Journal(ctx, api.JournalOptions{Unit: "a.service", Follow: true, Positions: true},
			func(list []journal.Entry) error {
				if first {
					first = false
					close(asleep)
					<-awake
				}
				for _, l := range list {
					switch l.Kind {
					case "":
						told++
					case journal.KindMissed:
						missed += l.Missed
					}
					if l.Message == "last" {
						cancel()
					}
				}
				return nil
			})
	}()
	<-asleep
	quick := f.watch("m1", api.JournalOptions{Unit: "a.service", Lines: -1, Follow: true})
	eventually(t, func() error {
		log.log("a.service", "is it there")
		if len(quick.texts()) == 0 {
			return errors.New("the quick one hears nothing")
		}
		return nil
	})
	before := len(quick.texts())
	long := strings.Repeat("x", 4000)
	const flood = 20_000 // 80 MB
	for i := range flood {
		log.log("a.service", long)
		if i%1000 == 999 {
			quick.until(before + i - 2000)
		}
	}
	quick.until(before + flood)
	close(awake)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
		case <-tick.C:
			log.log("a.service", "last")
			continue
		case <-time.After(60 * time.Second):
			t.Fatal("the slow one does not go on")
		}
		break
	}
	if missed == 0 || told == 0 || told+missed < flood {
		t.Errorf("the slow one was told %d lines and that it missed %d", told, missed)
	}
}

func TestBroadcasterGivesErrorsOn(t *testing.T) {
	h := broadcaster{src: broken{}}
	if _, _, _, err := h.join([]string{"a"}, false); err == nil {
		t.Fatal("a source that can't be followed is followed")
	}
}

type broken struct{}

func (broken) Read(context.Context, []string, journal.Query, journal.Position,
	func(journal.Entry) error) (journal.Cursor, error) {
	return "", errors.New("broken")
}
func (broken) Tail() (journal.Tail, error) { return nil, errors.New("broken") }

// TestSecondMove: a unit that moves on while the divider of its first move still waits for
// the outage has both dividers, each before the lines of the machine it came to.
func TestSecondMove(t *testing.T) {
	f, v, next := onWatch(t)
	f.health.set("m3", cluster.Suspect)
	f.place("a.service", "m3", "m1")
	next.log("a.service", "between")
	f.health.set("m1", cluster.Suspect)
	f.place("a.service", "m1", "m2")
	f.at["m2"].log.log("a.service", "new")
	f.must(f.store.Record(t.Context(), cluster.Event{Kind: cluster.EventActive, Unit: "a.service", From: "m1",
		To: "m2", Machine: "m2", Outage: &cluster.Outage{Start: 500 * time.Millisecond}}))
	const first, second = "[moved n3 → n1]", "[moved n1 → n2, outage 0.50s]"
	got := v.until(5)
	if i, j := slices.Index(got, first), slices.Index(got, second); i < 0 || j < i ||
		slices.Index(got, "between") < i || slices.Index(got, "new") < j {
		t.Errorf("got %q", got)
	}
}
