package process

import (
	"errors"
	"log/slog"
	"time"

	"fleettop/units"
	"fleettop/units/timespan"
)

// unit is one unit held. Its goroutine owns every field but the first few;
// others reach it by post.
type unit struct {
	m     *Manager
	name  string
	log   *slog.Logger
	inbox chan func()
	done  chan struct{} // closed when the goroutine has ended

	cfg     *config
	broken  error  // why the file can't be run; cfg is then the default
	st      record // what is on disk,
	unsaved error  // unless this kept it from there

	main, control *process // nil while there is none
	handles       map[*process]struct{}
	waiting       map[procID]*process // others whose end is awaited
	empty         bool                // no process of the unit is left, and none was started since that was seen
	socket        *notifySocket
	timer         *alarm // runs out at st.Deadline
	dog           *alarm // the watchdog
	lookout       *alarm // for the PID file

	starting, stopping []*job
	gone               bool // unloaded: the goroutine ends
}

// job is a request to start, stop or restart.
type job struct {
	verb string
	done chan error // capacity 1
}

func (u *unit) finish(list *[]*job, result func(verb string) error) {
	for _, j := range *list {
		j.done <- result(j.verb)
	}
	*list = nil
}

func newUnit(m *Manager, name string) *unit {
	return &unit{
		m: m, name: name, log: m.log.With("unit", name),
		inbox: make(chan func(), 16), done: make(chan struct{}),
		cfg: defaultConfig(), st: record{Sub: subDead, Since: now()},
		handles: map[*process]struct{}{}, waiting: map[procID]*process{},
	}
}

// now is the time as it comes back from the disk.
func now() time.Time { return time.Now().Round(0) }

// run is the unit's goroutine.
func (u *unit) run() {
	defer close(u.done)
	defer u.release()
	for !u.gone {
		select {
		case <-u.m.closing:
			return
		default:
		}
		select {
		case <-u.m.closing:
			return
		case f := <-u.inbox:
			f()
		}
	}
}

// release lets go of everything; processes go on.
func (u *unit) release() {
	for p := range u.handles {
		p.close()
	}
	for _, a := range []*alarm{u.timer, u.dog, u.lookout} {
		a.stop()
	}
	if u.socket != nil {
		u.socket.close(u.gone)
	}
	ended := func(string) error { return errClosed }
	u.finish(&u.starting, ended)
	u.finish(&u.stopping, ended)
}

// post has f run by the unit's goroutine; false if that has ended.
func (u *unit) post(f func()) bool {
	select {
	case u.inbox <- f:
		return true
	case <-u.done:
		return false
	}
}

// alarm is a timer whose end is handled by the unit's goroutine.
type alarm struct {
	timer *time.Timer
	off   bool
}

func (u *unit) after(d time.Duration, f func()) *alarm {
	a := &alarm{}
	a.timer = time.AfterFunc(d, func() {
		u.post(func() {
			if !a.off {
				f()
			}
		})
	})
	return a
}

func (a *alarm) stop() {
	if a != nil {
		a.off = true
		a.timer.Stop()
	}
}

// arm sets the state's timer.
func (u *unit) arm(d time.Duration) {
	u.timer.stop()
	u.timer, u.st.Deadline = nil, time.Time{}
	if d != timespan.Infinity {
		u.st.Deadline = now().Add(d)
		u.timer = u.after(d, u.timedOut)
	}
}

// disarm stops the state's timer.
func (u *unit) disarm() { u.arm(timespan.Infinity) }

// track waits for a process to end.
func (u *unit) track(p *process, ended func(exit)) {
	u.handles[p] = struct{}{}
	u.m.wg.Go(func() {
		x, err := p.wait()
		if err != nil {
			return // closed
		}
		u.post(func() {
			delete(u.handles, p)
			p.close()
			ended(x)
		})
	})
}

func (u *unit) setMain(p *process) {
	u.main, u.st.Main, u.st.MainExit, u.st.LastMain = p, &p.procID, nil, p.PID
	u.track(p, func(x exit) {
		if u.main == p {
			u.main, u.st.Main, u.st.MainExit = nil, nil, &x
			u.mainEnded(x)
		}
	})
}

func (u *unit) setControl(p *process) {
	u.control, u.st.Control = p, &p.procID
	u.track(p, func(x exit) {
		if u.control == p {
			u.control, u.st.Control = nil, nil
			u.controlEnded(x)
		}
	})
}

// enter changes the state, records and publishes it.
func (u *unit) enter(sub string) {
	if activeOf(sub) != activeOf(u.st.Sub) {
		u.st.Since = now()
	}
	u.st.Sub = sub
	u.commit()
}

// commit records and publishes the unit's state.
func (u *unit) commit() {
	if u.unsaved = u.save(); u.unsaved != nil {
		u.log.Error("the unit's state could not be recorded; a restart of the daemon may not find its processes", "error",
			u.unsaved)
	}
	u.publish()
}

func (u *unit) save() error { return u.m.disk.save(u.name, &u.st) }

func (u *unit) publish() { u.m.hub.set(u.status()) }

func (u *unit) status() units.Status {
	s := units.Status{
		Name: u.name, Hash: u.st.Hash, Load: "loaded", Active: activeOf(u.st.Sub), Sub: u.st.Sub,
		Result: u.st.Result, Since: u.st.Since, Restarts: u.st.Restarts,
	}
	if u.broken != nil {
		s.Load = "bad-setting"
	}
	if u.st.Main != nil {
		s.PID = u.st.Main.PID
	}
	if x := u.st.MainExit; x != nil {
		s.Exit = x.word(u.st.Result)
	}
	return s
}

// blame notes the first thing that went wrong.
func (u *unit) blame(result, detail string) {
	if result != resultSuccess && (u.st.Result == resultSuccess || u.st.Result == "") {
		u.st.Result, u.st.Detail = result, detail
	}
}

// configure takes another unit file; what runs goes on.
func (u *unit) configure(c *config, hash string) {
	u.cfg, u.broken, u.st.Hash = c, nil, hash
	u.commit()
}

func (u *unit) handle(j *job) {
	if u.gone {
		j.done <- notLoaded(j.verb, u.name)
		return
	}
	switch j.verb {
	case "start":
		u.start(j)
	case "stop":
		u.stop(j)
	case "restart":
		u.restart(j)
	}
}

func (u *unit) start(j *job) {
	switch activeOf(u.st.Sub) {
	case "active":
		j.done <- nil
	case "deactivating":
		u.starting = append(u.starting, j)
		u.st.Again = true
		u.commit()
	case "activating":
		u.starting = append(u.starting, j)
		if u.st.Sub == subAutoRestart {
			u.startNow()
		}
	default:
		u.starting = append(u.starting, j)
		u.startNow()
	}
}

// startNow starts a unit by hand.
func (u *unit) startNow() {
	u.st.Restarts = 0
	u.m.startWanted(u.cfg.Wants)
	u.enterStart()
}

func (u *unit) stop(j *job) {
	u.st.Again = false
	canceled := func(verb string) error {
		return &units.JobError{Unit: u.name, Verb: verb, Result: "canceled",
			Detail: "it was stopped meanwhile; start it again if it is wanted"}
	}
	u.finish(&u.starting, canceled)
	switch active := activeOf(u.st.Sub); {
	case active == "inactive" || active == "failed":
		j.done <- nil
		return
	case u.st.Sub == subAutoRestart:
		u.disarm()
		u.enter(subDead)
		j.done <- nil
		return
	}
	u.stopping = append(u.stopping, j)
	u.leave()
}

func (u *unit) restart(j *job) {
	active := activeOf(u.st.Sub)
	if active == "inactive" || active == "failed" || u.st.Sub == subAutoRestart {
		u.start(j)
		return
	}
	u.starting = append(u.starting, j)
	u.st.Again = true
	u.leave()
}

// leave begins the stop somebody asked for, if it isn't under way.
func (u *unit) leave() {
	u.st.Stopping = true
	switch activeOf(u.st.Sub) {
	case "activating":
		u.enterSignal(subStopSigterm)
	case "active":
		if u.cfg.Target || u.st.Sub == subActive {
			u.enterDead()
			return
		}
		u.enterStop()
	default:
		u.commit()
	}
}

// forget ends a unit that doesn't run any more.
func (u *unit) forget() error {
	if a := activeOf(u.st.Sub); a != "inactive" && a != "failed" {
		return errors.New("it was started again meanwhile: unload it once more")
	}
	if err := u.erase(); err != nil {
		return err
	}
	u.gone = true
	u.m.hub.drop(units.Status{Name: u.name, Hash: u.st.Hash, Load: "not-found", Active: "inactive", Sub: subDead,
		Since: now()})
	return nil
}

// erase removes what is on the disk of the unit. Where KillMode= has left
// processes alone, a record stays: without one they would be found, and the
// unit would count as running.
func (u *unit) erase() error {
	if u.killsGroup(subStopSigkill) || len(u.members()) == 0 {
		return u.m.disk.remove(u.name)
	}
	if err := u.m.disk.save(u.name, &record{Boot: u.m.host.bootID, Sub: subDead, Since: now()}); err != nil {
		return err
	}
	return u.m.disk.removeFile(u.name)
}
