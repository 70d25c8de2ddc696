package logs

import (
	"context"
	"fmt"
	"iter"
	"time"

	"fleettop/daemon/api"
	"fleettop/journal"
)

const (
	// batchMost and batchBytes are how many lines, and about how much text, go on in one piece.
	batchMost  = 256
	batchBytes = 1 << 20
)

// pieces splits lines into batches.
func pieces(lines []journal.Entry) iter.Seq[[]journal.Entry] {
	return func(yield func([]journal.Entry) bool) {
		from, bytes := 0, 0
		for i := range lines {
			bytes += lines[i].Size()
			if i+1-from < batchMost && bytes < batchBytes && i+1 < len(lines) {
				continue
			}
			if !yield(lines[from : i+1 : i+1]) {
				return
			}
			from, bytes = i+1, 0
		}
	}
}

// query makes the query of a request's options, by a clock.
func query(o api.JournalOptions, now time.Time) (q journal.Query, err error) {
	q.Lines, q.Fields, q.Errors = o.Lines, o.Fields, o.Errors
	if o.Since != "" {
		if q.Since, err = journal.ParseTimeOrAge(o.Since, now); err != nil {
			return q, err
		}
	}
	if o.Until != "" {
		if q.Until, err = journal.ParseTimeOrAge(o.Until, now); err != nil {
			return q, err
		}
	}
	if q.Priorities, err = journal.ParsePriorities(o.Priority); err != nil {
		return q, err
	}
	q.Grep, err = journal.ParseGrep(o.Grep)
	return q, err
}

// local streams what this machine has of units: what is there, then the
// position it ends at, then, when following, what comes.
func (s *Service) local(ctx context.Context, names []string, o api.JournalOptions,
	emit func([]journal.Entry) error) error {
	if s.cfg.Source == nil {
		return fmt.Errorf("%s keeps no logs", s.cfg.Self)
	}
	q, err := query(o, time.Now())
	if err != nil {
		return err
	}
	if after, ok := o.After[s.cfg.Self]; ok {
		q.After, q.Lines, q.Since = journal.Cursor(after), 0, time.Time{}
	}
	var v *viewer
	var upTo journal.Position
	if o.Follow {
		var leave func()
		if v, upTo, leave, err = s.broadcaster.join(names, o.Fields); err != nil {
			return err
		}
		defer leave()
	}
	b := batch{emit: emit}
	at, err := s.cfg.Source.Read(ctx, names, q, upTo, func(e journal.Entry) error { return b.add(e) })
	if err == nil {
		b.list = append(b.list, journal.Entry{Kind: journal.KindPosition, Time: time.Now(), Machine: s.cfg.Self,
			Cursor: at})
		err = b.flush()
	}
	if err != nil || !o.Follow {
		return err
	}
	for {
		list, missed, err := v.take(ctx)
		for i := range list {
			if !q.Match(&list[i]) {
				continue
			}
			if err := b.add(list[i]); err != nil {
				return err
			}
		}
		if missed > 0 {
			b.list = append(b.list, journal.Entry{Kind: journal.KindMissed, Time: time.Now(), Machine: s.cfg.Self,
				Missed: missed, Text: fmt.Sprintf(
					"%d lines were missed, as they came faster than they were read: see them with --since", missed)})
		}
		if flushErr := b.flush(); flushErr != nil {
			return flushErr
		}
		if err != nil {
			return err
		}
	}
}

// batch gathers lines.
type batch struct {
	list  []journal.Entry
	bytes int
	emit  func([]journal.Entry) error
}

func (b *batch) add(l journal.Entry) error {
	b.list = append(b.list, l)
	b.bytes += l.Size()
	if len(b.list) < batchMost && b.bytes < batchBytes {
		return nil
	}
	return b.flush()
}

func (b *batch) flush() error {
	if len(b.list) == 0 {
		return nil
	}
	list := b.list
	b.list, b.bytes = make([]journal.Entry, 0, batchMost), 0
	return b.emit(list)
}
