package server

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"fleettop/daemon/api"
	"fleettop/journal"
)

// Logs serves the logs of units. Its errors are *api.Error, or what a view or a
// store returns.
type Logs interface {
	// Journal calls emit with batches of lines until the end, or when
	// following until emit fails or ctx ends. emit may block.
	Journal(ctx context.Context, o api.JournalOptions, emit func([]journal.Entry) error) error
}

func (s *Server) journal(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Logs == nil {
		writeError(w, api.Refuse(api.CodeNotFound, "ask another machine", "this daemon serves no logs"))
		return
	}
	o, e := journalOptions(r)
	if e != nil {
		writeError(w, e)
		return
	}
	out := &logStream{beatingStream: newBeatingStream(w, r, s.cfg.Heartbeat)}
	defer out.close()
	err := s.cfg.Logs.Journal(r.Context(), o, out.emit)
	out.stopBeating() // or a beat could come before an error's status
	if out.opened {
		last := journal.Entry{Kind: journal.KindEnd}
		if err != nil {
			last = journal.Entry{Kind: journal.KindError, Text: asError(err).Error()}
		}
		_ = out.emit([]journal.Entry{last}) // the client may be gone
		return
	}
	if err != nil {
		writeError(w, asError(err))
		return
	}
	_ = out.emit([]journal.Entry{{Kind: journal.KindEnd}})
}

// journalOptions reads what a request asks for.
func journalOptions(r *http.Request) (api.JournalOptions, *api.Error) {
	q := r.URL.Query()
	o := api.JournalOptions{Units: q["unit"], Since: q.Get("since"), Until: q.Get("until"), Priority: q.Get("priority"),
		Grep:    q.Get("grep"),
		Errors:  q.Get("errors") == "true",
		Machine: q.Get("machine"), Follow: q.Get("follow") == "true", Fields: q.Get("fields") == "true",
		Positions: q.Get("positions") == "true", Local: q.Get("local") == "true"}
	if name := r.PathValue("name"); name != "" {
		o.Units = []string{name}
	}
	if len(o.Units) == 0 {
		return o, api.Refuse(api.CodeInvalid, "name units, as in ?unit=web@1.service&unit=db*", "no unit is named")
	}
	if l := q.Get("lines"); l != "" {
		n, err := strconv.Atoi(l)
		if err != nil || n < 0 {
			return o, api.Refuse(api.CodeInvalid, "give a number from 0 on, or leave it out for all", "lines %q is none", l)
		}
		if o.Lines = n; n == 0 {
			o.Lines = -1
		}
	}
	for _, a := range q["after"] {
		machine, cursor, ok := strings.Cut(a, "~")
		if !ok {
			return o, api.Refuse(api.CodeInvalid, "give MACHINE~CURSOR, from lines that were read before",
				"after %q is no cursor", a)
		}
		if o.After == nil {
			o.After = map[string]string{}
		}
		o.After[machine] = cursor
	}
	now := time.Now()
	for name, text := range map[string]string{"since": o.Since, "until": o.Until} {
		if text == "" {
			continue
		}
		if _, err := journal.ParseTimeOrAge(text, now); err != nil {
			return o, api.Refuse(api.CodeInvalid, "", "%s: %v", name, err)
		}
	}
	_, err := journal.ParsePriorities(o.Priority)
	if err == nil {
		_, err = journal.ParseGrep(o.Grep)
	}
	if err != nil {
		return o, api.Refuse(api.CodeInvalid, "", "%v", err)
	}
	if o.Follow && o.Until != "" {
		return o, api.Refuse(api.CodeInvalid, "leave one of them out", "follow goes on for ever, and until ends it")
	}
	return o, nil
}

// logStream writes batches of lines to a client. Unlike a watch it never cuts
// off a reader that takes its time: whoever feeds it drops lines instead, and says so.
type logStream struct {
	*beatingStream
	buf []byte
}

// emit writes a batch at once.
func (out *logStream) emit(batch []journal.Entry) error {
	out.buf = out.buf[:0]
	for i := range batch {
		out.buf = batch[i].AppendJSON(out.buf)
	}
	err := out.write(out.buf)
	if cap(out.buf) > 1<<20 {
		out.buf = nil
	}
	return err
}
