package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/view"
	"fleettop/units"
)

const (
	actTries    = 8               // rounds against others who change the same units
	viewCatchUp = 2 * time.Second // for the view to show what was written
	writeMost   = 480             // units written at once: between two writes the client is told how far it is
)

func (s *Server) act(w http.ResponseWriter, r *http.Request) {
	var req api.ActionRequest
	if e := readJSON(w, r, &req); e != nil {
		writeError(w, e)
		return
	}
	s.answerAction(w, r, req)
}

func (s *Server) submitUnits(w http.ResponseWriter, r *http.Request) {
	var req api.SubmitRequest
	if e := readJSON(w, r, &req); e != nil {
		writeError(w, e)
		return
	}
	verb, ok := map[units.DesiredState]api.Verb{"": api.Submit, units.Inactive: api.Submit, units.Loaded: api.Load,
		units.Launched: api.Start}[req.Desired]
	if !ok {
		writeError(w, api.Refuse(api.CodeInvalid, "choose inactive, loaded or launched",
			"%q is no desired state", req.Desired))
		return
	}
	s.answerAction(w, r, api.ActionRequest{Verb: verb, Files: req.Units, Replace: req.Replace})
}

func (s *Server) answerAction(w http.ResponseWriter, r *http.Request, req api.ActionRequest) {
	a, e := s.newAction(req, actor(r))
	if e != nil {
		writeError(w, e)
		return
	}
	s.answerLong(w, r, func(report func(api.Progress)) (any, int, *api.Error) {
		a.report = report
		if e := a.run(r.Context()); e != nil {
			return nil, 0, e
		}
		reply := a.reply()
		status := http.StatusOK
		if !slices.ContainsFunc(reply.Results, func(res api.UnitResult) bool { return res.Error == nil }) {
			reply.Error = reply.Results[0].Error
			status = statusOf[reply.Error.Code]
		}
		return reply, status, nil
	})
}

// action is a verb being carried out for a batch of units.
type action struct {
	s       *Server
	verb    api.Verb
	replace bool
	most    int // machines on which a global unit is changed at a time; 0 where it isn't said
	by      string
	last    map[string]int64 // generations that the caller saw, by unit
	items   []*item
	files   map[string]*item // those that came with a file, by name
	seen    int64            // revision that shows the outcome
	report  func(api.Progress)
}

// item is one unit of an action.
type item struct {
	name     units.Name
	given    *file // came with the request
	fallback bool
	settled  bool
	behind   bool // the view doesn't show yet what the caller saw
	old      *cluster.Unit
	done     step
	result   api.UnitResult
	at       time.Time    // it was decided; what follows from it happens later
	was      *cluster.Was // how the unit was then
}

func (it *item) fail(e *api.Error) { it.settled, it.result.Error = true, e }

// newAction checks all that can be checked without the cluster's state.
func (s *Server) newAction(req api.ActionRequest, by string) (*action, *api.Error) {
	if !slices.Contains(api.Verbs(), req.Verb) {
		return nil, api.Refuse(api.CodeInvalid, "choose one of "+joinVerbs(), "unknown verb %q", req.Verb)
	}
	switch {
	case len(req.Files)+len(req.Units) == 0:
		return nil, api.Refuse(api.CodeInvalid, "name at least one", "no unit to %s", req.Verb)
	case len(req.Files) > 0 && !takesFiles(req.Verb):
		return nil, api.Refuse(api.CodeInvalid, "name the units instead", "%s takes no files", req.Verb)
	case slices.ContainsFunc(req.Files, func(f api.File) bool { return f.AdoptFrom != "" }) &&
		(!places(req.Verb) || req.Replace):
		return nil, api.Refuse(api.CodeInvalid, "use start, or load for one that is not to run, and not --replace",
			"%s adopts no unit", req.Verb)
	case req.Replace && !takesFiles(req.Verb):
		return nil, api.Refuse(api.CodeInvalid, "it goes with submit, load and start", "%s replaces no files", req.Verb)
	case req.MaxUnavailable < 0 || req.MaxUnavailable > 0 && !takesFiles(req.Verb) && req.Verb != api.Restart:
		return nil, api.Refuse(api.CodeInvalid, "it goes with submit, load, start and restart, and is 1 or more",
			"%s can't be told to change %d machines at a time", req.Verb, req.MaxUnavailable)
	}
	a := &action{s: s, verb: req.Verb, replace: req.Replace, most: req.MaxUnavailable, by: by, last: req.Generations,
		files: map[string]*item{}}
	for _, f := range req.Files {
		a.addFile(f)
	}
	named := map[string]bool{}
	for _, name := range req.Units {
		if named[name] || a.files[name] != nil {
			continue
		}
		named[name] = true
		a.add(name)
	}
	return a, nil
}

func joinVerbs() string {
	words := make([]string, 0, len(api.Verbs()))
	for _, v := range api.Verbs() {
		words = append(words, string(v))
	}
	return strings.Join(words, ", ")
}

// add appends an item, already failed if the name can't be meant.
func (a *action) add(name string) *item {
	it := &item{result: api.UnitResult{Name: name}}
	a.items = append(a.items, it)
	n, err := units.ParseName(name)
	if err != nil {
		it.fail(api.Refuse(api.CodeInvalid, "", "%v", err))
		return it
	}
	it.name = n
	if n.IsTemplate() && aboutRunning(a.verb) {
		hint := fmt.Sprintf("%s an instance of it, such as %s@1.%s", a.verb, n.Prefix(), n.Type())
		if !takesFiles(a.verb) {
			hint += ", or all by a glob in quotes" // which the shell may have taken for this file
		}
		it.fail(api.Refuse(api.CodeInvalid, hint, "%s is a template", name))
	}
	return it
}

func (a *action) addFile(f api.File) {
	if before := a.files[f.Name]; before != nil && before.given != nil && before.given.content == f.Content {
		return
	} else if before != nil {
		before.fail(api.Refuse(api.CodeInvalid, "name each unit once", "%s was given twice, with different contents", f.Name))
		return
	}
	it := a.add(f.Name)
	a.files[f.Name] = it
	if it.settled {
		return
	}
	given, e := parse(it.name, f.Content)
	if e != nil {
		it.fail(e)
		return
	}
	given.template = f.Template && it.name.IsInstance()
	given.adoptFrom = f.AdoptFrom
	it.given, it.fallback = given, f.Fallback
}

// parse refuses a file that can't work as the unit.
func parse(n units.Name, content string) (*file, *api.Error) {
	parsed, err := units.ParseFile(content)
	if err == nil {
		err = units.Validate(n, parsed)
	}
	if err != nil {
		return nil, api.Refuse(api.CodeInvalid, "", "%s: %v", n, err)
	}
	return &file{content: content, hash: parsed.Hash()}, nil
}

// run carries the action out: decide on what the view shows, write guarded by
// generations, and again for what others changed meanwhile. An error means
// that nothing was learned of what is not settled.
func (a *action) run(ctx context.Context) *api.Error {
	lease := a.s.cfg.View.Hold()
	defer lease.Release()
	for range actTries {
		patience, cancel := context.WithTimeout(ctx, storePatience)
		snap, err := lease.Snapshot(patience, a.seen)
		cancel()
		if err != nil {
			return asError(err)
		}
		a.seen = snap.Revision
		again, e := a.round(ctx, snap)
		if e != nil {
			return e
		}
		if !again {
			a.finish(ctx, lease)
			return nil
		}
		await(ctx, lease, func(now *cluster.Snapshot) bool { return now.Revision > snap.Revision })
	}
	for _, it := range a.items {
		if !it.settled {
			it.fail(api.Refuse(api.CodeConflict, "see what it is now and try again",
				"%s is being changed by another at the same time", it.name))
		}
	}
	a.finish(ctx, lease)
	return nil
}

// round decides and writes once; again tells whether somebody was faster for some unit.
func (a *action) round(ctx context.Context, snap *cluster.Snapshot) (again bool, e *api.Error) {
	now, in := time.Now(), troubles(snap)
	for _, templates := range []bool{true, false} { // what their instances take is known then
		for _, it := range a.items {
			if !it.settled && it.name.IsTemplate() == templates {
				a.decide(it, snap, in[it.name.String()], now)
			}
		}
	}
	a.refuseCircles(snap)
	a.howTheyWere(snap, now)
	var puts []cluster.Unit
	var putItems, deleteItems []*item
	var deletes []string
	behind := false
	for _, it := range a.items {
		switch {
		case it.settled:
		case it.behind:
			behind = true
		case it.done.destroy:
			deletes, deleteItems = append(deletes, it.name.String()), append(deleteItems, it)
		case it.done.changed:
			puts, putItems = append(puts, it.done.next), append(putItems, it)
		default:
			it.settled = true
		}
	}
	again, e = a.write(ctx, putItems, func(from, to int) ([]error, error) {
		return a.s.cfg.Store.PutUnits(ctx, puts[from:to])
	})
	if e != nil {
		return false, e
	}
	more, e := a.write(ctx, deleteItems, func(from, to int) ([]error, error) {
		errs, err := a.s.cfg.Store.DeleteUnits(ctx, deletes[from:to])
		for i := range errs {
			if it := deleteItems[from+i]; errors.Is(errs[i], cluster.ErrNotFound) {
				it.fail(api.UnitNotFound(it.name.String()))
			}
		}
		return errs, err
	})
	return again || more || behind, e
}

// write writes items in pieces. Where a piece fails as a whole after others
// were written, each item says how it stands; where nothing was written the
// error says it for all.
func (a *action) write(ctx context.Context, items []*item, put func(from, to int) ([]error, error)) (
	again bool, e *api.Error) {
	for from := 0; from < len(items); from += writeMost {
		to := min(from+writeMost, len(items))
		errs, err := put(from, to)
		if len(errs) == 0 { // the store wasn't even asked
			errs = slices.Repeat([]error{err}, to-from)
		}
		if err != nil && !slices.ContainsFunc(a.items, func(it *item) bool { return it.result.Changed }) &&
			!slices.Contains(errs, nil) {
			return false, unsure(err)
		}
		again = settle(items[from:to], errs) || again
		if err != nil {
			for _, it := range items[to:] {
				it.fail(asError(err))
			}
			return again, nil
		}
		done := 0
		for _, it := range a.items {
			if it.settled {
				done++
			}
		}
		a.report(api.Progress{Done: done, Total: len(a.items)})
	}
	return again, nil
}

// unsure is for a write whose outcome isn't known.
func unsure(err error) *api.Error {
	e := asError(err)
	if unusable := new(cluster.UnusableError); e.Code == api.CodeUnavailable && !errors.As(err, &unusable) {
		e.Hint = "it is not known whether the change was made; units keep running; look and repeat the command when the store has its quorum back"
	}
	return e
}

// settle takes what the store said of each item; again tells whether some must be tried again.
func settle(items []*item, errs []error) (again bool) {
	for i, it := range items {
		switch err := errs[i]; {
		case it.settled:
		case err == nil:
			it.settled, it.result.Changed = true, true
		case errors.Is(err, cluster.ErrConflict), errors.Is(err, cluster.ErrExists), errors.Is(err, cluster.ErrNotFound):
			again = true
		default:
			it.fail(unsure(err))
		}
	}
	return again
}

// decide settles what is to be done with an item, or fails it.
func (a *action) decide(it *item, snap *cluster.Snapshot, in trouble, now time.Time) {
	name := it.name.String()
	it.old = nil
	if u, ok := snap.Units[name]; ok {
		it.old = &u
	}
	f, e := a.fileFor(it, snap)
	if e == nil {
		e = a.refuseChanged(it)
	}
	if e == nil {
		e = a.refuseHandover(it, snap)
	}
	if e == nil {
		it.done, e = decide(a.verb, name, it.old, f, a.replace, in, a.by, now)
	}
	if e != nil {
		it.fail(e)
		return
	}
	if a.most > 0 {
		if !a.s.facts.of(it.done.next).global {
			it.fail(api.Refuse(api.CodeInvalid, "leave --max-unavailable out",
				"%s is on one machine at a time anyway: only a global unit is on several", name))
			return
		}
		it.done.limit(a.most, a.by, now)
	}
	u := it.done.next
	itsFile := f != nil && it.given != nil && (f == it.given || !it.fallback)
	it.result = api.UnitResult{Name: name, Desired: u.Desired, Generation: u.Generation, Global: a.s.facts.of(u).global,
		Submitted: itsFile && (it.old == nil || it.old.Content != u.Content), Replaced: it.done.replaced}
	if it.done.destroy {
		it.result.Desired = ""
		return
	}
	a.warn(it, snap)
}

// refuseChanged refuses a unit that was changed since the caller last saw it.
func (a *action) refuseChanged(it *item) *api.Error {
	seen, guarded := a.last[it.name.String()]
	it.behind = guarded && it.old != nil && it.old.Generation < seen
	if !guarded || it.old == nil || it.old.Generation <= seen {
		return nil
	}
	return api.Refuse(api.CodeConflict, "see what it is now and decide again", "%s was changed by %s meanwhile",
		it.name, cmp.Or(it.old.By, "another operator"))
}

// howTheyWere notes how the units are that are changed, for the timeline, and which machines
// have those that are destroyed. Of many units there is no more than that.
func (a *action) howTheyWere(snap *cluster.Snapshot, now time.Time) {
	tell := len(a.items) <= eventsEach
	if a.verb != api.Destroy && !tell {
		for _, it := range a.items {
			it.at = now
		}
		return
	}
	on := map[string][]cluster.Assignment{}
	for _, it := range a.items {
		if !it.settled {
			it.at = now
			on[it.name.String()] = nil
		}
	}
	for k, given := range snap.Assignments {
		if _, asked := on[k.Unit]; asked {
			on[k.Unit] = append(on[k.Unit], given)
		}
	}
	for _, it := range a.items {
		name := it.name.String()
		given := on[name]
		slices.SortFunc(given, func(a, b cluster.Assignment) int { return cmp.Compare(a.Machine, b.Machine) })
		switch {
		case it.settled:
			continue
		case a.verb == api.Destroy:
			it.result.On = nil
			for _, g := range given {
				it.result.On = append(it.result.On, g.Machine)
			}
		}
		if !tell {
			continue
		}
		var status *cluster.Status
		if len(given) == 1 {
			if s, ok := snap.Statuses[cluster.UnitOnMachine{Machine: given[0].Machine, Unit: name}]; ok {
				status = &s
			}
		}
		it.was = cluster.WasUnit(it.old, it.old != nil && a.s.facts.of(*it.old).global, given, status)
	}
}

// await waits, for a bounded time, until the view shows something, and returns
// the snapshot that does, or nil.
func await(ctx context.Context, lease *view.Lease, shown func(*cluster.Snapshot) bool) *cluster.Snapshot {
	ctx, cancel := context.WithTimeout(ctx, viewCatchUp)
	defer cancel()
	for {
		snap, live, _, changed := lease.Latest()
		if live && shown(snap) {
			return snap
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// finish records who did what, and waits until this daemon's own view shows it.
func (a *action) finish(ctx context.Context, lease *view.Lease) {
	if events := a.timeline(); len(events) > 0 {
		if err := a.s.cfg.Store.Record(ctx, events...); err != nil {
			a.s.cfg.Log.Warn("an action is not in the timeline", "verb", a.verb, "error", err)
		}
	}
	shown := await(ctx, lease, func(snap *cluster.Snapshot) bool {
		for _, it := range a.items {
			if !it.result.Changed {
				continue
			}
			u, known := snap.Units[it.name.String()]
			if it.done.destroy && known && u == *it.old || !it.done.destroy &&
				(!known || u.Generation < it.done.next.Generation) {
				return false
			}
		}
		return true
	})
	if shown != nil {
		a.seen = shown.Revision
	}
}

func (a *action) reply() *api.ActionReply {
	r := &api.ActionReply{Revision: a.seen}
	for _, it := range a.items {
		r.Results = append(r.Results, it.result)
	}
	return r
}
