package server

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/backup"
	"fleettop/units/wording"
)

const (
	maxBackup      = 256 << 20 // bytes of a backup's file
	backupPatience = time.Minute
	conflictsNamed = 5
)

// backup answers with a backup of the cluster's state as it is now.
func (s *Server) backup(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), backupPatience)
	defer cancel()
	name := s.cfg.Self
	if snap, _, _, _ := s.cfg.View.LastKnown(); snap != nil {
		name = snap.Label(s.cfg.Self)
	}
	c, err := backup.Make(ctx, s.cfg.Store, name, s.cfg.Version, time.Now())
	if err != nil {
		writeError(w, asError(err))
		return
	}
	raw, err := backup.Pack(c)
	if err != nil {
		writeError(w, asError(err))
		return
	}
	s.cfg.Log.Info("a backup was made", "by", actor(r), "revision", c.Revision, "units", len(c.Units), "bytes", len(raw))
	w.Header().Set("Content-Type", api.BackupType)
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	_, _ = w.Write(raw) // a client that is gone sees that its end is missing
}

// restore writes what a backup has and the cluster hasn't.
func (s *Server) restore(w http.ResponseWriter, r *http.Request) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != api.BackupType {
		writeError(w, api.Refuse(api.CodeContentType, "send a backup with Content-Type: "+api.BackupType,
			"the request's Content-Type is %q", r.Header.Get("Content-Type")))
		return
	}
	q := r.URL.Query()
	o := api.RestoreOptions{DryRun: q.Get("dry-run") == "true", Inactive: q.Get("inactive") == "true"}
	content, err := backup.Read(http.MaxBytesReader(w, r.Body, maxBackup))
	if err != nil {
		sentence, hint, _ := strings.Cut(err.Error(), ": ")
		writeError(w, api.Refuse(api.CodeInvalid, hint, "%s", sentence))
		return
	}
	reply, e := s.restoreFrom(r, content, o)
	writeReply(w, reply, http.StatusOK, e)
}

// restoreFrom carries out a restore, machines first: units find their marks then.
func (s *Server) restoreFrom(r *http.Request, content *backup.Content, o api.RestoreOptions) (*api.RestoreReply, *api.Error) {
	ctx, cancel := context.WithTimeout(r.Context(), backupPatience)
	defer cancel()
	watching, end := context.WithCancel(ctx)
	snap, _, err := s.cfg.Store.Watch(watching, cluster.Scope{})
	end()
	if err != nil {
		return nil, asError(err)
	}
	plan, err := backup.NewPlan(content, snap, o, actor(r), time.Now())
	if err != nil {
		return nil, api.Refuse(api.CodeInvalid, "use another backup", "%v", err)
	}
	plan.Reply.Revision = snap.Revision
	if o.DryRun {
		return &plan.Reply, nil
	}
	if e := refuseConflicts(plan); e != nil {
		return nil, e
	}
	for _, m := range plan.Machines {
		err := s.cfg.Store.UpdateMachine(ctx, m.ID, cluster.OfKnown(func(there *cluster.Machine) error {
			backup.SetWords(there, m, time.Now())
			return nil
		}))
		switch {
		case errors.Is(err, cluster.ErrNotFound):
			i := slices.IndexFunc(plan.Reply.Machines, func(x api.RestoredMachine) bool { return x.ID == m.ID })
			plan.Reply.Machines[i].Outcome, plan.Reply.Machines[i].Note = api.LeftOut, "it left the cluster meanwhile"
		case err != nil:
			return nil, goOn(err, 0, len(plan.Create))
		}
	}
	if e := s.createUnits(ctx, plan); e != nil {
		return nil, e
	}
	text := fmt.Sprintf("restored %s from the backup that %s made at %s", wording.Count(len(plan.Create), "unit"),
		content.Machine, content.Time.Format(time.RFC3339))
	if err := s.cfg.Store.Record(ctx, cluster.Event{Kind: cluster.EventUnit, Text: text, By: actor(r)}); err != nil {
		s.cfg.Log.Warn("a restore is not in the timeline", "error", err)
	}
	s.cfg.Log.Info("a backup was restored", "by", actor(r), "units", len(plan.Create), "machines", len(plan.Machines))
	return &plan.Reply, nil
}

// createUnits writes the units of a plan. One that another client made meanwhile is a conflict.
func (s *Server) createUnits(ctx context.Context, plan *backup.Plan) *api.Error {
	done := 0
	for list := range slices.Chunk(plan.Create, writeMost) {
		errs, err := s.cfg.Store.PutUnits(ctx, list)
		for i, failed := range errs {
			switch {
			case failed == nil:
				done++
			case err == nil:
				at := slices.IndexFunc(plan.Reply.Units, func(x api.RestoredUnit) bool { return x.Name == list[i].Name })
				plan.Reply.Units[at].Outcome, plan.Reply.Units[at].Note = api.Conflicts, asError(failed).Message
			}
		}
		if err != nil {
			return goOn(err, done, len(plan.Create))
		}
	}
	return nil
}

// goOn says how to go on with a restore that was interrupted.
func goOn(err error, done, of int) *api.Error {
	e := asError(err)
	return api.Refuse(e.Code, "restore again when it is mended: what is restored already stays as it is",
		"%s; %d of %s were restored", e.Message, done, wording.Count(of, "unit"))
}

// refuseConflicts refuses a restore as a whole where the cluster has units of the same names with other content.
func refuseConflicts(plan *backup.Plan) *api.Error {
	var names []string
	for _, u := range plan.Reply.Units {
		if u.Outcome == api.Conflicts {
			names = append(names, u.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	list := strings.Join(names[:min(len(names), conflictsNamed)], ", ")
	if more := len(names) - conflictsNamed; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return api.Refuse(api.CodeConflict, "destroy those that the backup's are to replace, and restore again",
		"nothing was restored, as the cluster has %s with other content: %s", wording.Count(len(names), "unit"), list)
}
