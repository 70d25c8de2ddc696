package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"fleettop/journal"
)

// Logs serves the logs of units. Its errors are *Error, or what a view or a
// store returns.
type Logs interface {
	// Journal calls emit with batches of lines until the end, or when
	// following until emit fails or ctx ends. emit may block.
	Journal(ctx context.Context, o JournalOptions, emit func([]LogLine) error) error
}

// Kinds of lines that end a stream.
const (
	logEnd   = "end"   // all was said
	logError = "error" // it failed in the middle; Text says how
)

func (s *Server) journal(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Logs == nil {
		writeError(w, refuse(CodeNotFound, "ask another machine", "this daemon serves no logs"))
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
		last := LogLine{Kind: logEnd}
		if err != nil {
			last = LogLine{Kind: logError, Text: asError(err).Error()}
		}
		_ = out.emit([]LogLine{last}) // the client may be gone
		return
	}
	if err != nil {
		writeError(w, asError(err))
		return
	}
	_ = out.emit([]LogLine{{Kind: logEnd}})
}

// journalOptions reads what a request asks for.
func journalOptions(r *http.Request) (JournalOptions, *Error) {
	q := r.URL.Query()
	o := JournalOptions{Units: q["unit"], Since: q.Get("since"), Until: q.Get("until"), Priority: q.Get("priority"), Grep: q.Get("grep"),
		Machine: q.Get("machine"), Follow: q.Get("follow") == "true", Fields: q.Get("fields") == "true",
		Positions: q.Get("positions") == "true", Local: q.Get("local") == "true"}
	if name := r.PathValue("name"); name != "" {
		o.Units = []string{name}
	}
	if len(o.Units) == 0 {
		return o, refuse(CodeInvalid, "name units, as in ?unit=web@1.service&unit=db*", "no unit is named")
	}
	if l := q.Get("lines"); l != "" {
		n, err := strconv.Atoi(l)
		if err != nil || n < 0 {
			return o, refuse(CodeInvalid, "give a number from 0 on, or leave it out for all", "lines %q is none", l)
		}
		if o.Lines = n; n == 0 {
			o.Lines = -1
		}
	}
	for _, a := range q["after"] {
		machine, cursor, ok := strings.Cut(a, "~")
		if !ok {
			return o, refuse(CodeInvalid, "give MACHINE~CURSOR, from lines that were read before", "after %q is no cursor", a)
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
		if _, err := LogTime(text, now); err != nil {
			return o, refuse(CodeInvalid, "", "%s: %v", name, err)
		}
	}
	_, err := journal.ParsePriorities(o.Priority)
	if err == nil {
		_, err = journal.ParseGrep(o.Grep)
	}
	if err != nil {
		return o, refuse(CodeInvalid, "", "%v", err)
	}
	if o.Follow && o.Until != "" {
		return o, refuse(CodeInvalid, "leave one of them out", "follow goes on for ever, and until ends it")
	}
	return o, nil
}

// LogTime reads a time of a journal's options: what journal.ParseTime takes, or
// an age such as 90m.
func LogTime(text string, now time.Time) (time.Time, error) {
	if age, err := time.ParseDuration(text); err == nil && !strings.HasPrefix(text, "+") {
		return now.Add(-age.Abs()), nil
	}
	return journal.ParseTime(text, now)
}

// logStream writes batches of lines to a client. Unlike a watch it never cuts
// off a reader that takes its time: whoever feeds it drops lines instead, and says so.
type logStream struct {
	*beatingStream
	buf []byte
}

// emit writes a batch at once.
func (out *logStream) emit(batch []LogLine) error {
	out.buf = out.buf[:0]
	for i := range batch {
		out.buf = appendLogLine(out.buf, &batch[i])
	}
	err := out.write(out.buf)
	if cap(out.buf) > 1<<20 {
		out.buf = nil
	}
	return err
}

// NewLogLine is an entry as it goes over the wire.
func NewLogLine(e *journal.Entry) LogLine {
	l := LogLine{Time: e.Time, Machine: e.Machine, Unit: e.Unit, Priority: e.Priority, Message: e.Message, Cursor: string(e.Cursor), Fields: e.Fields}
	if !utf8.ValidString(e.Message) {
		l.Message, l.Raw = strings.ToValidUTF8(e.Message, "\uFFFD"), []byte(e.Message)
	}
	return l
}

// Size is about how much memory the line takes.
func (l *LogLine) Size() int {
	n := len(l.Message) + len(l.Raw) + len(l.Text) + len(l.Cursor)
	for k, v := range l.Fields {
		n += len(k) + len(v)
	}
	return n
}

// Content is the message as it was logged: any bytes.
func (l *LogLine) Content() string {
	if l.Raw != nil {
		return string(l.Raw)
	}
	return l.Message
}

// appendLogLine appends a line as encoding/json would write it, but for the
// escaping of HTML, and faster: most lines are plain text.
func appendLogLine(b []byte, l *LogLine) []byte {
	text := func(key, value string) {
		b = append(b, key...)
		b = AppendText(b, value)
	}
	b = append(b, '{')
	if l.Kind != "" {
		text(`"kind":`, l.Kind)
		b = append(b, ',')
	}
	b = append(b, `"time":"`...)
	b = l.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	if l.Machine != "" {
		text(`,"machine":`, l.Machine)
	}
	if l.Unit != "" {
		text(`,"unit":`, l.Unit)
	}
	b = strconv.AppendInt(append(b, `,"priority":`...), int64(l.Priority), 10)
	if l.Message != "" {
		text(`,"message":`, l.Message)
	}
	if len(l.Raw) > 0 {
		raw, err := json.Marshal(l.Raw)
		if err == nil {
			b = append(append(b, `,"raw":`...), raw...)
		}
	}
	if l.Cursor != "" {
		text(`,"cursor":`, l.Cursor)
	}
	if len(l.Fields) > 0 {
		b = append(b, `,"fields":{`...)
		sep := false
		for k, v := range l.Fields {
			if sep {
				b = append(b, ',')
			}
			sep = true
			b = AppendText(b, k)
			b = append(b, ':')
			b = AppendText(b, v)
		}
		b = append(b, '}')
	}
	if l.Missed != 0 {
		b = strconv.AppendInt(append(b, `,"missed":`...), int64(l.Missed), 10)
	}
	if l.Text != "" {
		text(`,"text":`, l.Text)
	}
	return append(b, '}', '\n')
}

const hexDigits = "0123456789abcdef"

// AppendText appends a string as JSON. Bytes that are no UTF-8 become U+FFFD.
func AppendText(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			b = append(append(b, s[from:i]...), `\ufffd`...)
			i++
			from = i
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		from = i
	}
	return append(append(b, s[from:]...), '"')
}

// decodeLogLine reads what appendLogLine wrote.
func decodeLogLine(raw []byte) (LogLine, error) {
	var l LogLine
	if l.fast(raw) {
		return l, nil
	}
	l = LogLine{}
	return l, json.Unmarshal(raw, &l)
}
