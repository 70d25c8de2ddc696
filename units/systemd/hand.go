package systemd

import (
	"slices"
	"time"

	"github.com/godbus/dbus/v5"

	"fleettop/units"
)

// What is done to a unit held without this manager (systemctl stop, start,
// restart, reset-failed) is seen by systemd's signals. A job counts as done by
// hand if this manager didn't ask for it and no unit that is tied to its unit
// had a job at the same time: systemd stops and starts some units with others.

// foreignJob is a job of a unit held that this manager didn't ask for.
type foreignJob struct {
	unit    string
	ran     bool   // the unit ran when the job was made
	entered uint64 // when the unit had become active by then
	// A unit tied to it had a job too, with which systemd would start, or stop or restart it.
	mayStart, mayStop bool
}

// foreign are those of a connection, and the jobs that all units have; the manager's mutex guards it.
type foreign struct {
	jobs    map[dbus.ObjectPath]*foreignJob
	asked   map[string]int // jobs that this manager asked for, by unit
	pending map[string]int // jobs of all units, by unit
	ending  bool           // the machine goes down
}

func newForeign() foreign {
	return foreign{jobs: map[dbus.ObjectPath]*foreignJob{}, asked: map[string]int{}, pending: map[string]int{}}
}

// asks notes that this manager asks for a job of a unit, until the func that it returns is called.
func (m *Manager) asks(s *session, name string) (done func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if u := m.table.byName[name]; u != nil {
		u.hand, u.handAt = "", time.Time{}
	}
	s.foreign.asked[name]++
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if s.foreign.asked[name]--; s.foreign.asked[name] == 0 {
			delete(s.foreign.asked, name)
		}
	}
}

// jobNew takes in that systemd has a new job; m.mu is held.
func (m *Manager) jobNew(s *session, path dbus.ObjectPath, name string) {
	f := &s.foreign
	f.pending[name]++
	f.ending = f.ending || name == "shutdown.target"
	for _, job := range f.jobs {
		m.table.tie(job, name)
	}
	u := m.table.byName[name]
	if u == nil || f.asked[name] > 0 {
		return
	}
	job := &foreignJob{unit: name, ran: !u.ended(), entered: u.times["ActiveEnterTimestamp"]}
	for other := range f.pending {
		m.table.tie(job, other)
	}
	f.jobs[path] = job
}

// jobRemoved takes in that a job ended; m.mu is held.
func (m *Manager) jobRemoved(s *session, path dbus.ObjectPath, name, result string) {
	f := &s.foreign
	if f.pending[name]--; f.pending[name] <= 0 {
		delete(f.pending, name)
	}
	job, u := f.jobs[path], m.table.byName[name]
	delete(f.jobs, path)
	if job == nil || u == nil || result != "done" || f.ending {
		return
	}
	hand := job.hand(u)
	if hand != units.HandStopped && u.restarts > 0 {
		return // by its Restart=: systemd counts anew when it is started by hand
	}
	if hand == "" || hand == units.HandStarted && (job.mayStart || m.table.triggered(name)) ||
		hand != units.HandStarted && job.mayStop {
		return
	}
	binds := u.file.Binds
	if u.file.exclusive {
		binds = append(slices.Clone(binds), FenceUnit)
	}
	if hand != units.HandStopped || len(binds) == 0 {
		m.setHand(u, hand)
		return
	}
	if m.ctx.Err() == nil { // this is the reader of answers, and Close doesn't wait before it has this lock
		m.wg.Go(func() { m.setUnlessBound(s, u, hand, binds) })
	}
}

// hand is what a job that is done did to its unit.
func (j *foreignJob) hand(u *unit) units.Hand {
	entered := u.times["ActiveEnterTimestamp"] > j.entered
	switch {
	case j.ran && u.ended():
		return units.HandStopped
	case !j.ran && !u.ended():
		return units.HandStarted
	case j.ran && entered:
		return units.HandRestarted
	}
	return ""
}

// setHand notes what was done to a unit; m.mu is held.
func (m *Manager) setHand(u *unit, hand units.Hand) {
	u.hand, u.handAt = hand, time.Now().UTC()
	m.log.Info("a unit was "+string(hand)+" by hand", "unit", u.name)
	m.mark(u.name)
}

// setUnlessBound notes that a unit was stopped, unless that was the end of a unit that it is bound to.
func (m *Manager) setUnlessBound(s *session, u *unit, hand units.Hand, binds []string) {
	for _, name := range binds {
		var active string
		if err := s.get(m.ctx, unitPath(name), "ActiveState", &active); err != nil || active != "active" {
			return
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if u.ended() && s.foreign.asked[u.name] == 0 {
		m.setHand(u, hand)
	}
}

// noticeReset takes in that systemd was told to forget that a unit had failed,
// by what it was before a signal; m.mu is held. One that ran since has another
// time at which it ended.
func (m *Manager) noticeReset(s *session, u *unit, was string, ended uint64) {
	if was == "failed" && u.active == "inactive" && u.times["InactiveEnterTimestamp"] == ended &&
		s.foreign.asked[u.name] == 0 && s.foreign.pending[u.name] == 0 {
		m.setHand(u, units.HandReset)
	}
}

// tie notes what a job of another unit may be the cause of.
func (t table) tie(job *foreignJob, other string) {
	if other == job.unit {
		return
	}
	if u := t.byName[job.unit]; u != nil {
		job.mayStop = job.mayStop || slices.Contains(u.file.Follows, other)
		job.mayStart = job.mayStart || slices.Contains(u.file.PulledBy, other)
	}
	if o := t.byName[other]; o != nil {
		job.mayStop = job.mayStop || slices.Contains(o.file.Ends, job.unit)
		job.mayStart = job.mayStart || slices.Contains(o.file.Pulls, job.unit)
	}
}

// triggered reports whether a unit that is held and active starts another on occasion.
func (t table) triggered(name string) bool {
	for _, u := range t.byName {
		if u.file.Starts == name && !u.ended() {
			return true
		}
	}
	return false
}
