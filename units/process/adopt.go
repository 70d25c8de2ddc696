package process

import (
	"fmt"
	"os"
	"slices"
	"time"

	"fleettop/units"
)

// recall reads what an earlier manager left of a unit.
func (u *unit) recall() error {
	st, err := u.m.disk.load(u.name)
	if err != nil {
		// Without it no process can be told to be the unit's.
		u.log.Error("the unit's record is lost; it counts as never started", "error", err)
		st = record{Sub: subDead, Since: now()}
	}
	u.st = st
	if u.st.Boot != u.m.host.bootID {
		u.st = record{Boot: u.m.host.bootID, Hash: u.st.Hash, Sub: subDead, Since: now()} // everything ended with that boot
	}
	name, err := units.ParseName(u.name)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(u.m.disk.unitPath(u.name))
	if err != nil {
		return fmt.Errorf("read its unit file: %w", err)
	}
	cfg, hash, err := u.m.compile(name, string(content))
	if u.st.Hash == "" {
		u.st.Hash = hash
	}
	if err != nil {
		return err
	}
	u.cfg = cfg
	return nil
}

// resume goes on where an earlier manager stopped. It runs before the
// unit's goroutine does.
func (u *unit) resume() {
	if u.st.Invocation == "" || u.st.Sub == subActive {
		return
	}
	main, control := u.st.Main, u.st.Control
	u.st.Main, u.st.Control = nil, nil
	remaining := forever
	if !u.st.Deadline.IsZero() {
		remaining = max(0, time.Until(u.st.Deadline))
	}
	u.arm(remaining)
	switch u.st.Sub {
	case subDead, subFailed, subExited, subAutoRestart:
		return // nothing runs; a restart comes when its time has
	}
	if err := u.listen(); err != nil {
		u.log.Error("the unit can't send notifications any more", "error", err)
	}
	if main == nil && control == nil {
		main = u.lostStart()
	}
	mainGone := main != nil && !u.take(main, u.setMain)
	controlGone := control != nil && !u.take(control, u.setControl)
	if mainGone {
		u.st.MainExit = &exit{}
	}
	switch u.st.Sub {
	case subStart:
		u.resumeStart(mainGone, controlGone)
	case subRunning:
		u.resumeRunning(mainGone)
	case subStartPre, subStartPost, subStop, subStopPost:
		u.resumeSequence(mainGone, controlGone)
	default:
		if !u.sendSignals(u.st.Sub) {
			u.afterSignal(u.st.Sub)
		}
	}
	u.publish()
}

// take gets hold of a process again; false if it has ended.
func (u *unit) take(id *procID, set func(*process)) bool {
	p, err := openProcess(*id)
	if err != nil {
		return false
	}
	set(p)
	return true
}

// lostStart finds the process of a command that was started just before the
// earlier manager died, too late to be put on record: the eldest leader of a session.
func (u *unit) lostStart() *procID {
	if u.st.Sub != subStart || u.st.Forked || u.cfg.Type == "forking" {
		return nil
	}
	var found *procID
	for _, id := range u.members() {
		if s, err := readStat(id.PID); err == nil && s.Session == id.PID && (found == nil || id.Start < found.Start) {
			found = &id
		}
	}
	if found != nil && !slices.Contains(u.st.Sessions, *found) {
		u.st.Sessions = append(u.st.Sessions, *found)
	}
	return found
}

func (u *unit) resumeStart(mainGone, controlGone bool) {
	switch {
	case mainGone:
		u.mainEnded(exit{})
	case controlGone:
		u.controlEnded(exit{})
	case u.main != nil && (u.cfg.Type == "simple" || u.cfg.Type == "exec"):
		u.enterStartPost()
	case u.st.Forked:
		u.findMain(0)
	case u.main == nil && u.control == nil:
		u.interrupted(subStart)
	}
}

func (u *unit) resumeRunning(mainGone bool) {
	switch {
	case mainGone:
		u.mainEnded(exit{})
	case u.main == nil && !u.awaitMembers():
		u.enterRunning()
	default:
		u.feedDog(true)
	}
}

func (u *unit) resumeSequence(mainGone, controlGone bool) {
	sub := u.st.Sub
	if mainGone {
		u.mainEnded(exit{}) // which only takes note of it in these states
	}
	switch {
	case controlGone:
		u.controlEnded(exit{})
	case u.control == nil:
		u.interrupted(sub)
	}
}

// interrupted ends a sequence of commands of which nobody knows how far it came.
func (u *unit) interrupted(sub string) {
	if activeOf(sub) == "activating" {
		u.blame(resultResources, "the daemon ended while it started the unit: start it again")
	}
	u.sequenceFailed(sub)
}
