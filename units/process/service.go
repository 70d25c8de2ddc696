package process

import (
	"fmt"
	"time"

	"fleettop/units"
)

// lookoutEvery is how often a PID file that isn't there yet is looked for.
// It ends with the start, which has a timeout.
const lookoutEvery = 25 * time.Millisecond

// enterStart begins a start, unless there were too many.
func (u *unit) enterStart() {
	u.disarm()
	u.st.Stopping, u.st.Again = false, false
	if u.broken != nil {
		u.st.Result, u.st.Detail = resultResources, u.broken.Error()
		u.refuse()
		return
	}
	if u.cfg.Target {
		u.st.Result, u.st.Detail = resultSuccess, ""
		u.enter(subActive)
		u.finish(&u.starting, func(string) error { return nil })
		return
	}
	if u.overLimit() {
		u.st.Result = resultStartLimit
		u.st.Detail = fmt.Sprintf("the limit of %d starts in %s is reached: find out why it ends, then start it again later",
			u.cfg.LimitBurst, u.cfg.LimitInterval)
		u.refuse()
		return
	}
	u.st.Invocation, u.st.Result, u.st.Detail = newInvocation(u.m.dir, u.name), resultSuccess, ""
	u.st.Sessions, u.st.Forked, u.st.MainExit, u.st.LastMain = nil, false, nil, 0
	u.empty = true
	if err := u.listen(); err != nil {
		u.blame(resultResources, err.Error())
		u.enterDead()
		return
	}
	u.runControl(subStartPre, 0)
}

// refuse ends a start before it began.
func (u *unit) refuse() {
	u.disarm()
	u.enter(subFailed)
	u.finish(&u.starting, u.jobError)
}

func (u *unit) jobError(verb string) error {
	return &units.JobError{Unit: u.name, Verb: verb, Result: u.st.Result, Detail: u.st.Detail}
}

// overLimit counts a start, and reports whether it is one too many.
func (u *unit) overLimit() bool {
	if u.cfg.LimitInterval == 0 || u.cfg.LimitBurst == 0 {
		return false
	}
	t := now()
	recent := u.st.Starts[:0]
	for _, s := range u.st.Starts {
		if t.Sub(s) < u.cfg.LimitInterval {
			recent = append(recent, s)
		}
	}
	u.st.Starts = recent
	if len(recent) >= u.cfg.LimitBurst {
		return true
	}
	u.st.Starts = append(u.st.Starts, t)
	return false
}

// commands are those of the unit's state.
func (u *unit) commands(sub string) []command {
	switch sub {
	case subStartPre:
		return u.cfg.StartPre
	case subStart:
		return u.cfg.Start
	case subStartPost:
		return u.cfg.StartPost
	case subStop:
		return u.cfg.Stop
	case subStopPost:
		return u.cfg.StopPost
	}
	return nil
}

// running is the command that runs or ran last; nil if the file has none such any more.
func (u *unit) running() *command {
	if list := u.commands(u.st.Sub); u.st.Index < len(list) {
		return &list[u.st.Index]
	}
	return nil
}

// runControl runs a state's commands one after the other, from the i-th on.
func (u *unit) runControl(sub string, i int) {
	list := u.commands(sub)
	for ; i < len(list); i++ {
		if activeOf(sub) == "activating" {
			u.arm(u.cfg.StartTimeout)
		} else {
			u.arm(u.cfg.StopTimeout)
		}
		u.st.Index = i
		u.enter(sub)
		p, err := u.spawn(list[i])
		if err == nil {
			u.setControl(p)
			u.commit()
			return
		}
		if !list[i].IgnoreFailure {
			u.blame(err.result, err.detail)
			u.sequenceFailed(sub)
			return
		}
	}
	u.sequenceEnded(sub)
}

func (u *unit) sequenceEnded(sub string) {
	switch sub {
	case subStartPre:
		u.enterMain(0)
	case subStartPost:
		u.enterRunning()
	case subStop:
		u.enterSignal(subStopSigterm)
	case subStopPost:
		u.enterSignal(subFinalSigterm)
	}
}

func (u *unit) sequenceFailed(sub string) {
	if sub == subStopPost {
		u.enterSignal(subFinalSigterm)
		return
	}
	u.enterSignal(subStopSigterm)
}

// enterMain runs ExecStart, from the i-th command on.
func (u *unit) enterMain(i int) {
	u.arm(u.cfg.StartTimeout)
	u.st.Index = i
	u.enter(subStart)
	if i >= len(u.cfg.Start) {
		u.enterStartPost()
		return
	}
	p, err := u.spawn(u.cfg.Start[i])
	switch {
	case err != nil && !u.cfg.Start[i].IgnoreFailure:
		u.blame(err.result, err.detail)
		u.enterSignal(subStopSigterm)
	case err != nil && u.cfg.Type == "oneshot":
		u.enterMain(i + 1)
	case err != nil:
		u.enterStartPost()
	case u.cfg.Type == "forking":
		u.setControl(p)
		u.commit()
	default:
		u.setMain(p)
		if u.cfg.Type == "simple" || u.cfg.Type == "exec" {
			u.enterStartPost()
			return
		}
		u.commit()
	}
}

func (u *unit) enterStartPost() { u.runControl(subStartPost, 0) }

// enterRunning settles a unit that has been started, or whose main process has ended.
func (u *unit) enterRunning() {
	if u.st.Result != resultSuccess {
		u.enterStop()
		return
	}
	switch {
	case u.main != nil || u.cfg.Type == "forking" && u.st.MainExit == nil && u.awaitMembers():
		u.disarm()
		u.enter(subRunning)
		u.feedDog(true)
	case u.cfg.RemainAfterExit:
		u.disarm()
		u.enter(subExited)
	default:
		u.finish(&u.starting, func(string) error { return nil })
		u.enterStop()
		return
	}
	u.finish(&u.starting, func(string) error { return nil })
}

// mainEnded acts on the end of the main process.
func (u *unit) mainEnded(x exit) {
	var c *command
	if list := u.cfg.Start; len(list) == 1 {
		c = &list[0]
	} else if u.st.Sub == subStart && u.st.Index < len(list) {
		c = &list[u.st.Index]
	}
	result := u.classify(c, x, u.cfg.Type != "oneshot")
	u.blame(result, u.sentence(c, x))
	u.log.Debug("the main process ended", "how", x.String(), "state", u.st.Sub)
	switch u.st.Sub {
	case subStart:
		switch {
		case result == resultSuccess && u.cfg.Type == "oneshot":
			u.enterMain(u.st.Index + 1)
			return
		case result == resultSuccess && u.cfg.Type == "notify":
			u.blame(resultProtocol, "it ended before it sent READY=1: send it when the service is up, or use Type=exec")
		}
		u.enterSignal(subStopSigterm)
	case subRunning:
		u.feedDog(false)
		u.enterRunning()
	case subStartPost, subStop, subStopPost:
		u.commit() // the command that runs goes first
	default:
		u.checkGone()
	}
}

// controlEnded acts on the end of a command that isn't the main process.
func (u *unit) controlEnded(x exit) {
	sub, c := u.st.Sub, u.running()
	result := u.classify(c, x, false)
	if len(u.commands(sub)) > 0 {
		u.blame(result, u.sentence(c, x))
	}
	switch sub {
	case subStart:
		if result != resultSuccess {
			u.enterSignal(subStopSigterm)
			return
		}
		u.st.Forked = true
		u.commit()
		u.findMain(0)
	case subStartPre, subStartPost, subStop, subStopPost:
		if result != resultSuccess {
			u.sequenceFailed(sub)
			return
		}
		u.runControl(sub, u.st.Index+1)
	default:
		u.checkGone()
	}
}

// findMain looks for the main process of a forking unit whose ExecStart returned.
func (u *unit) findMain(try int) {
	if u.cfg.PIDFile == "" {
		if main, ok := u.guessMain(); ok {
			if p, err := openProcess(main); err == nil {
				u.setMain(p)
			}
		}
		u.enterStartPost()
		return
	}
	if pid := u.readPIDFile(); pid > 0 && u.adoptMain(pid) {
		u.enterStartPost()
		return
	}
	if try%8 == 7 && len(u.members()) == 0 {
		u.blame(resultProtocol,
			fmt.Sprintf("PIDFile=%s names no process of the unit: have the daemon write it, or correct the path",
				u.cfg.PIDFile))
		u.enterSignal(subStopSigterm)
		return
	}
	u.lookout = u.after(lookoutEvery, func() {
		if u.st.Sub == subStart && u.st.Forked {
			u.findMain(try + 1)
		}
	})
}

// enterStop begins to stop a unit that was up: ExecStop first.
func (u *unit) enterStop() { u.feedDog(false); u.runControl(subStop, 0) }

// timedOut acts on the end of the time a state may last.
func (u *unit) timedOut() {
	sub := u.st.Sub
	if sub == subAutoRestart {
		u.st.Restarts++
		u.enterStart()
		return
	}
	what := map[bool]string{true: "start", false: "stop"}[activeOf(sub) == "activating"]
	limit := map[string]time.Duration{"start": u.cfg.StartTimeout, "stop": u.cfg.StopTimeout}[what]
	why := ""
	if sub == subStart && u.st.Forked {
		why = fmt.Sprintf(": PIDFile=%s names no process of it", u.cfg.PIDFile)
	}
	u.blame(resultTimeout,
		fmt.Sprintf("it did not %s within %s%s: see its output in %s, or give it more with Timeout%sSec=",
			what, limit, why, u.m.logPath(u.name), map[string]string{"start": "Start", "stop": "Stop"}[what]))
	switch sub {
	case subStartPre, subStart, subStartPost, subStop:
		u.enterSignal(subStopSigterm)
	case subStopWatchdog, subStopSigterm:
		if u.cfg.SendSIGKILL {
			u.enterSignal(subStopSigkill)
		} else {
			u.enterStopPost()
		}
	case subStopSigkill:
		u.enterStopPost()
	case subStopPost:
		u.enterSignal(subFinalSigterm)
	case subFinalSigterm:
		if u.cfg.SendSIGKILL {
			u.enterSignal(subFinalSigkill)
		} else {
			u.enterDead()
		}
	case subFinalSigkill:
		u.log.Error("processes of the unit can't be killed", "processes", len(u.members()))
		u.enterDead()
	}
}

func (u *unit) enterStopPost() { u.runControl(subStopPost, 0) }

// enterDead ends a unit's run, and decides whether another one follows.
func (u *unit) enterDead() {
	u.disarm()
	u.feedDog(false)
	if u.socket != nil {
		u.socket.close(true)
		u.socket = nil
	}
	u.removePIDFile()
	u.main, u.control, u.st.Main, u.st.Control = nil, nil, nil, nil
	clear(u.waiting)
	asked := u.st.Stopping
	u.st.Stopping = false
	again, next := u.st.Again, subDead
	switch {
	case !again && !asked && u.wantsRestart():
		next = subAutoRestart
		u.arm(u.cfg.RestartDelay)
	case u.st.Result != resultSuccess:
		next = subFailed
	}
	u.enter(next)
	u.finish(&u.stopping, func(string) error { return nil })
	if again {
		u.startNow()
		return
	}
	u.finish(&u.starting, func(verb string) error {
		if u.st.Result == resultSuccess {
			return nil
		}
		return u.jobError(verb)
	})
}
