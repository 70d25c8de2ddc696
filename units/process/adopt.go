package process

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"fleettop/units"
	"fleettop/units/safefile"
	"fleettop/units/timespan"
)

// adopt finds the units of an earlier manager.
func (m *Manager) adopt() error {
	names, err := m.disk.names()
	if err != nil {
		return fmt.Errorf("read the units in %s: %w", m.dir, err)
	}
	table, err := readTable()
	if err != nil {
		return fmt.Errorf("read the process table: %w: mount /proc and start again", err)
	}
	m.strays = findStrays(table, m.dir, m.logDir)
	var list []*unit
	for _, name := range names {
		u := newUnit(m, name)
		left := len(m.strays[mark(m.dir, name)]) > 0
		if err := u.recall(); err != nil {
			if errors.Is(err, fs.ErrNotExist) && (u.st.Sub == subDead || u.st.Sub == subFailed) {
				if left {
					continue // see erase
				}
				if err := m.disk.remove(name); err != nil { // nothing of it is left
					return fmt.Errorf("remove the record of %s: %w", name, err)
				}
				continue
			}
			u.broken = err
			u.log.Error("the unit can't be used as it is; load it again", "error", err)
		}
		if u.unsaved != nil {
			u.commit() // its record could not be read
		} else {
			u.publish()
		}
		list = append(list, u)
	}
	for _, u := range list {
		u.resume()
		if !m.hold(u) {
			return errClosed
		}
	}
	return nil
}

// recall reads what an earlier manager left of a unit.
func (u *unit) recall() error {
	found := u.m.claim(u.name)
	var err error
	u.st, err = u.m.disk.load(u.name)
	if err != nil {
		u.log.Error("the unit's record can't be read, and is made anew", "error", err)
		u.rediscover(found)
		u.unsaved = err
	}
	if u.st.Boot != u.m.host.bootID {
		u.st = record{Boot: u.m.host.bootID, Hash: u.st.Hash, Sub: subDead, Since: now()} // everything ended with that boot
	}
	name, err := units.ParseName(u.name)
	if err != nil {
		return err
	}
	content, err := safefile.Read(u.m.disk.unitPath(u.name), units.MaxFileSize)
	if err != nil {
		u.st.Hash = "" // so that it is loaded again
		return fmt.Errorf("read its unit file: %w", err)
	}
	cfg, hash, err := u.m.compile(name, string(content))
	if u.st.Hash = hash; err != nil {
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
	remaining := timespan.Infinity
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
