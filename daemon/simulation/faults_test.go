//go:build !race

package simulation

import (
	"crypto/sha1"
	"encoding/hex"
	"slices"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// fault lets something happen to the cluster.
func (s *sim) fault() {
	m := s.machines[s.roll(len(s.machines))]
	o := s.machines[s.roll(len(s.machines))]
	switch s.roll(27) {
	case 0, 1, 2:
		if m.powered() {
			s.story.say("", "%s loses its power", m.name())
			m.cutPower()
		} else {
			s.story.say("", "%s boots", m.name())
			m.boot()
		}
	case 3:
		if m.daemon != nil && !m.frozen.Load() {
			s.story.say("", "%s reboots", m.name())
			m.stopDaemon(cluster.ShutDown)
			m.cutPower()
			s.later(s.within(time.Second, 5*time.Second), func() { s.bootAgain(m) })
		}
	case 4, 5:
		if m.daemon != nil {
			s.story.say("", "%s's daemon is killed", m.name())
			m.killDaemon()
			s.later(s.within(100*time.Millisecond, 14*time.Second), m.startDaemon)
		}
	case 6:
		if m.daemon != nil && !m.frozen.Load() {
			s.story.say("", "%s's daemon restarts", m.name())
			m.stopDaemon(cluster.Restarting)
			s.later(s.within(100*time.Millisecond, 2*time.Second), m.startDaemon)
		}
	case 7, 8:
		if m.daemon != nil && !m.frozen.Load() {
			s.story.say("", "%s's daemon is stopped by SIGSTOP", m.name())
			m.frozen.Store(true)
			s.rewire()
			s.later(s.within(200*time.Millisecond, 16*time.Second), func() {
				s.story.say("", "%s's daemon goes on", m.name())
				m.frozen.Store(false)
				s.rewire()
			})
		}
	case 9, 10:
		s.story.say("", "%s is cut off", m.name())
		for _, o := range s.machines {
			s.cut(m, o, true, true)
		}
		s.healLater(m)
	case 11, 12:
		s.story.say("", "between %s and %s nothing gets through", m.name(), o.name())
		s.cut(m, o, true, true)
		s.healLater(m)
	case 13:
		s.story.say("", "%s doesn't hear %s", o.name(), m.name())
		s.cut(m, o, true, false)
		s.healLater(m)
	case 14:
		s.story.say("", "nobody hears %s", m.name())
		for _, o := range s.machines {
			s.cut(m, o, true, false)
		}
		s.healLater(m)
	case 15:
		s.partition()
	case 16:
		s.story.say("", "the store answers nobody")
		s.setStall(true)
		s.later(s.within(500*time.Millisecond, 8*time.Second), func() {
			s.story.say("", "the store answers again")
			s.setStall(false)
		})
	case 17:
		s.slow(m)
	case 18:
		s.blackout()
	case 24:
		most := s.within(20*time.Millisecond, 800*time.Millisecond)
		s.story.say("", "the store's answers take up to %s", 2*most)
		s.setLate(most)
		s.later(s.within(time.Second, 10*time.Second), func() { s.setLate(0) })
	case 25:
		s.story.say("", "the store's leader steps down")
		s.dropHead()
	case 19:
		to := []cluster.Schedulability{cluster.Schedulable, cluster.Cordoned, cluster.Drained}[s.roll(3)]
		s.story.say("", "%s is to be %q", m.name(), to)
		s.schedule(m, to)
	case 20:
		for name := range m.manager.Load().running() {
			s.story.say("", "%s dies on %s", name, m.name())
			m.manager.Load().crash(name)
			break
		}
	default:
		s.changeUnit()
	}
}

// later has something happen later: pass does it, so that one thing is done at a time.
func (s *sim) later(d time.Duration, f func()) {
	s.due = append(s.due, due{time.Now().Add(d), f})
}

// doDue does what is due by now.
func (s *sim) doDue() {
	for k := 0; k < len(s.due); k++ {
		if d := s.due[k]; !time.Now().Before(d.at) {
			s.due = slices.Delete(s.due, k, k+1)
			d.f()
			k = -1 // time passed, and there may be more
		}
	}
}

func (s *sim) bootAgain(m *machine) {
	if !m.powered() {
		s.story.say("", "%s is back from its reboot", m.name())
		m.boot()
	}
}

// cut cuts the ways between two machines: what a sends, what b sends.
func (s *sim) cut(a, b *machine, there, back bool) {
	if a == b {
		return
	}
	s.net.mu.Lock()
	s.net.cut[[2]int{a.n, b.n}] = s.net.cut[[2]int{a.n, b.n}] || there
	s.net.cut[[2]int{b.n, a.n}] = s.net.cut[[2]int{b.n, a.n}] || back
	s.net.mu.Unlock()
	s.rewire()
}

func (s *sim) healLater(m *machine) {
	s.later(s.within(200*time.Millisecond, 12*time.Second), func() {
		s.story.say("", "%s's network is whole", m.name())
		s.net.mu.Lock()
		for way := range s.net.cut {
			if way[0] == m.n || way[1] == m.n {
				delete(s.net.cut, way)
			}
		}
		s.net.mu.Unlock()
		s.rewire()
	})
}

// partition cuts the cluster in two.
func (s *sim) partition() {
	side := map[int]bool{}
	for _, m := range s.machines {
		side[m.n] = s.chance(40)
	}
	s.story.say("", "partition: on one side %v", side)
	for _, a := range s.machines {
		for _, b := range s.machines {
			if side[a.n] && !side[b.n] {
				s.cut(a, b, true, true)
			}
		}
		if side[a.n] {
			s.healLater(a)
		}
	}
}

// slow makes a machine's network bad for a while, and no worse than a machine may have.
func (s *sim) slow(m *machine) {
	loss, delay := 5+s.roll(11), time.Duration(s.roll(100))*time.Millisecond
	s.story.say("", "%s loses %d %% of its packets, and they take %s more", m.name(), loss, delay)
	set := func(loss int, delay time.Duration) {
		s.net.mu.Lock()
		defer s.net.mu.Unlock()
		s.net.loss[m.n], s.net.delay[m.n] = loss, delay
	}
	set(loss, delay)
	s.later(s.within(2*time.Second, 15*time.Second), func() { set(0, 0) })
}

// blackout cuts the power of more than half of the machines at once, and lets a
// quorum of the voters live: nothing may be moved.
func (s *sim) blackout() {
	for _, m := range s.machines {
		if !s.reaches(m) || s.auditor.troubled(m) {
			return // it is hard to say what is right then
		}
	}
	if len(s.machines) < 5 {
		return
	}
	gone := append([]*machine{s.machines[s.roll(3)]}, s.machines[3:]...)
	if len(s.machines) == 7 && s.chance(50) {
		gone = s.machines[3:]
	}
	for _, m := range gone {
		if s.truth.Snapshot().Machines[m.id].Schedule == cluster.Drained {
			return
		}
	}
	s.story.say("", "%d of %d machines lose their power at once", len(gone), len(s.machines))
	s.auditor.hold(gone)
	for _, m := range gone {
		m.power.Store(false)
	}
	for _, m := range gone {
		m.cutPower()
	}
	s.pass(s.within(time.Second, 12*time.Second))
	s.auditor.hold(nil)
	s.story.say("", "they boot")
	for _, m := range gone {
		m.boot()
	}
}

func (s *sim) setStall(on bool) {
	s.mu.Lock()
	s.stall = on
	s.mu.Unlock()
	s.rewire()
}

func (s *sim) schedule(m *machine, to cluster.Schedulability) {
	err := s.admin.UpdateMachine(s.t.Context(), m.id, func(r *cluster.Machine) error {
		r.SetSchedule(to, time.Now())
		return nil
	})
	if err != nil {
		s.fail("schedule %s: %v", m.name(), err)
	}
}

// changeUnit does what an operator might do to a unit.
func (s *sim) changeUnit() {
	files := map[string]string{
		"a.service": "", "b.service": "", "w@1.service": "Conflicts=w@*.service\n", "w@2.service": "Conflicts=w@*.service\n",
		"rack.service": "MachineMetadata=rack=a\n", "global.service": "Global=true\n", "flaky.service": "",
		"x.service": "Exclusive=true\n", "y.service": "Exclusive=true\n",
	}
	names := []string{"a.service", "b.service", "w@1.service", "w@2.service", "rack.service", "global.service", "flaky.service",
		"x.service", "y.service"}
	name := names[s.roll(len(names))]
	old, known := s.truth.Snapshot().Units[name]
	if known && s.chance(15) {
		s.story.say("", "destroy %s", name)
		if _, err := s.admin.DeleteUnits(s.t.Context(), []string{name}); err != nil {
			s.fail("destroy %s: %v", name, err)
		}
		return
	}
	u := old
	u.Name, u.Generation, u.At = name, old.Generation+1, time.Now()
	u.Desired = units.Launched
	if known && s.chance(30) {
		u.Desired = units.Inactive
	}
	if !known || s.chance(20) {
		u.Content = "[Service]\nExecStart=/bin/sleep " + u.At.Format("150405000") + "\n"
		if files[name] != "" {
			u.Content += "[X-Fleet]\n" + files[name]
		}
		sum := sha1.Sum([]byte(u.Content))
		u.Hash = hex.EncodeToString(sum[:])
	}
	s.story.say("", "%s is to be %s, generation %d", name, u.Desired, u.Generation)
	if errs, err := s.admin.PutUnits(s.t.Context(), []cluster.Unit{u}); err != nil || errs[0] != nil {
		s.fail("change %s: %v, %v", name, err, errs)
	}
}

// lasts is how long faults may go on after the last one.
const lasts = 6 * time.Second

// calm ends all faults.
func (s *sim) calm() {
	for end := time.Now().Add(s.within(0, lasts)); len(s.due) > 0 && time.Now().Before(end) && !s.t.Failed(); {
		s.pass(100 * time.Millisecond)
	}
	s.due = nil // what follows does it all
	s.story.say("", "no more faults")
	s.net.mu.Lock()
	clear(s.net.cut)
	clear(s.net.loss)
	clear(s.net.delay)
	s.net.mu.Unlock()
	s.setStall(false)
	s.setLate(0)
	for _, m := range s.machines {
		m.frozen.Store(false)
		if !m.powered() {
			m.boot()
		}
		m.startDaemon()
		s.schedule(m, cluster.Schedulable)
	}
	s.rewire()
}
