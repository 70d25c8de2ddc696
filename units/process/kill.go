package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// members lists the unit's processes. An unreadable process table has none,
// which is logged: there is nothing else to go by.
func (u *unit) members() []procID {
	table, err := u.m.scan.table()
	if err != nil {
		u.log.Error("the process table can't be read", "error", err)
		return nil
	}
	return members(table, u.st.Invocation, u.st.Sessions, u.roots())
}

// owns reports whether a process is the unit's, as members has it. It looks at
// the process and those it descends from alone: a unit may ask often.
func (u *unit) owns(pid int) (id procID, ok bool) {
	self := os.Getpid()
	for at := pid; at > 1 && at != self; {
		p, err := readStat(at)
		if err != nil || p.Zombie && at == pid {
			return procID{}, false
		}
		if at == pid {
			id = p.procID
		}
		p.Invocation = invocationOf(at)
		lineage := []stat{p}
		if leader, err := readStat(p.Session); err == nil && p.Session != at {
			leader.Parent = 0 // it is here for its start time alone
			lineage = append(lineage, leader)
		}
		if slices.Contains(members(lineage, u.st.Invocation, u.st.Sessions, u.roots()), p.procID) {
			return id, true
		}
		at = p.Parent
	}
	return procID{}, false
}

func (u *unit) roots() []procID {
	var list []procID
	for _, id := range []*procID{u.st.Main, u.st.Control} {
		if id != nil {
			list = append(list, *id)
		}
	}
	return list
}

// guessMain returns the one process of the unit that no other one of it started.
func (u *unit) guessMain() (procID, bool) {
	list := u.members()
	if !u.cfg.GuessMainPID {
		return procID{}, false
	}
	own := map[int]bool{}
	for _, id := range list {
		own[id.PID] = true
	}
	var eldest []procID
	for _, id := range list {
		if s, err := readStat(id.PID); err == nil && s.Start == id.Start && !own[s.Parent] {
			eldest = append(eldest, id)
		}
	}
	if len(eldest) != 1 {
		return procID{}, false
	}
	return eldest[0], true
}

// await waits for one more process to end before the unit is looked at again.
// It returns nil if the process is gone.
func (u *unit) await(id procID) *process {
	if p := u.waiting[id]; p != nil {
		return p
	}
	p, err := openProcess(id)
	if err != nil {
		return nil
	}
	u.waiting[id] = p
	u.track(p, func(exit) {
		delete(u.waiting, id)
		u.checkGone()
	})
	return p
}

// awaitMembers waits for every process of a unit that has no main process.
func (u *unit) awaitMembers() bool {
	for _, id := range u.members() {
		u.await(id)
	}
	return len(u.waiting) > 0
}

// enterSignal asks the unit's processes to end, or makes them, and waits for that.
func (u *unit) enterSignal(sub string) {
	u.feedDog(false)
	u.lookout.stop()
	u.arm(u.cfg.StopTimeout)
	if !u.killsGroup(sub) {
		clear(u.waiting)
	}
	if !u.sendSignals(sub) {
		u.afterSignal(sub)
		return
	}
	u.enter(sub)
}

// killsGroup reports whether KillMode= has all processes of the unit signalled
// in a state, rather than the main process and the command that runs.
func (u *unit) killsGroup(sub string) bool {
	switch u.cfg.KillMode {
	case "control-group":
		return true
	case "mixed":
		return sub == subStopSigkill || sub == subFinalSigkill
	}
	return false
}

// sendSignals signals what KillMode= says, and reports whether something is left to wait for.
func (u *unit) sendSignals(sub string) bool {
	final := sub == subStopSigkill || sub == subFinalSigkill
	signals := []syscall.Signal{u.cfg.KillSignal, syscall.SIGCONT}
	switch {
	case final:
		signals = []syscall.Signal{u.cfg.FinalSignal}
	case sub == subStopWatchdog:
		signals = []syscall.Signal{syscall.SIGABRT, syscall.SIGCONT}
	case u.cfg.SendSIGHUP:
		signals = append(signals, syscall.SIGHUP)
	}
	if u.cfg.KillMode == "none" {
		return false
	}
	send := func(p *process) {
		for _, s := range signals {
			if err := p.signal(s); err != nil {
				u.log.Error("a process of the unit can't be signalled", "pid", p.PID, "signal", s, "error", err)
			}
		}
	}
	for _, p := range []*process{u.main, u.control} {
		if p != nil {
			send(p)
		}
	}
	if !u.empty && u.killsGroup(sub) {
		own := u.roots()
		for _, id := range u.members() {
			if slices.Contains(own, id) {
				continue
			}
			if p := u.await(id); p != nil {
				send(p)
			}
		}
		u.empty = len(u.waiting) == 0 && len(own) == 0
	}
	return u.main != nil || u.control != nil || len(u.waiting) > 0
}

// checkGone goes on when the last process that was waited for has ended.
func (u *unit) checkGone() {
	if u.main != nil || u.control != nil || len(u.waiting) > 0 {
		return
	}
	switch sub := u.st.Sub; sub {
	case subRunning:
		if !u.awaitMembers() {
			u.enterRunning()
		}
	case subStopWatchdog, subStopSigterm, subStopSigkill, subFinalSigterm, subFinalSigkill:
		// Others may have been started meanwhile: by those that just ended.
		if !u.sendSignals(sub) {
			u.afterSignal(sub)
		}
	}
}

// afterSignal goes on when nothing is left to wait for.
func (u *unit) afterSignal(sub string) {
	switch {
	case sub == subStopWatchdog || sub == subStopSigterm || sub == subStopSigkill:
		u.enterStopPost()
	case sub == subFinalSigterm && u.cfg.KillMode == "mixed" && u.cfg.SendSIGKILL:
		u.enterSignal(subFinalSigkill)
	default:
		u.enterDead()
	}
}

// Kill ends every process of every unit kept in a state directory at once and
// without a word, as a loss of power would. The records stay. No manager may have the directory open.
func Kill(dir string) error {
	d, err := openDisk(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.close() }()
	names, err := d.names()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	boot, err := readBootID()
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		table, err := readTable()
		if err != nil {
			return err
		}
		left := 0
		for _, name := range names {
			st, err := d.load(name)
			if err != nil || st.Boot != boot {
				st = record{}
			}
			u := unit{st: st}
			roots := u.roots()
			for _, p := range table { // also without a record
				if strings.HasPrefix(p.Invocation, mark(dir, name)) {
					roots = append(roots, p.procID)
				}
			}
			for _, id := range members(table, st.Invocation, st.Sessions, roots) {
				left++
				if p, err := openProcess(id); err == nil {
					_ = p.signal(syscall.SIGKILL) // tried again until it is gone
					p.close()
				}
			}
		}
		if left == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes of units in %s can't be killed: kill them as the user they run as", left, dir)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
