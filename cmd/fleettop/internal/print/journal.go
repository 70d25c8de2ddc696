package print

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/charmbracelet/lipgloss"

	"fleettop/journal"
	"fleettop/tui/draw"
	"fleettop/tui/theme"
)

// JournalOptions say how lines of logs are printed.
type JournalOptions struct {
	Form       string // one of JournalForms
	Zone       *time.Location
	Colour     bool // may be used
	Terminal   bool // shows what is written
	Several    bool // units were asked for
	NoHostname bool
	// Names asks what the machines are called, by ID; nil where that isn't known.
	Names func() map[string]string
}

// Journal prints lines of logs.
type Journal struct {
	o     JournalOptions
	out   *bufio.Writer
	notes io.Writer // for what isn't a line of a log

	names map[string]string
	asked time.Time    // when Names was asked last
	inks  *theme.Theme // for the sources; nil without colour
	buf   []byte
	wrote bool
	told  map[string]bool // dividers of this connection and those before
}

// JournalForms are the forms that a Journal prints.
var JournalForms = []string{"short", "cat", "json", "export"}

var printForm = map[string]func(*Journal, *journal.Entry){
	"short": (*Journal).short, "cat": (*Journal).cat, "json": (*Journal).json, "export": (*Journal).export,
}

// NewJournal returns a Journal on out, which gets what was printed with Flush.
// It returns an error where the colours of the sources can't be made.
func NewJournal(out, notes io.Writer, o JournalOptions) (*Journal, error) {
	p := &Journal{o: o, out: bufio.NewWriterSize(out, 64<<10), notes: notes, names: map[string]string{}}
	if o.Colour {
		var err error
		if p.inks, err = theme.New(lipgloss.NewRenderer(out), theme.Options{}); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Wrote reports whether there was a line to print.
func (p *Journal) Wrote() bool { return p.wrote }

// Flush writes what was printed, and returns the error of the first write that failed.
func (p *Journal) Flush() error { return p.out.Flush() }

// Print prints a line in the form that was asked for. What can't be written is told by Flush.
func (p *Journal) Print(l *journal.Entry) {
	p.wrote = true
	if l.Kind == journal.KindDivider {
		// After a reconnection those of the past are told again.
		key := l.Time.String() + l.Text
		if p.told[key] {
			return
		}
		if p.told == nil {
			p.told = map[string]bool{}
		}
		p.told[key] = true
	}
	printForm[p.o.Form](p, l)
}

// machine returns what a machine is called.
func (p *Journal) machine(id string) string {
	name, ok := p.names[id]
	if !ok && time.Since(p.asked) > time.Second {
		p.asked = time.Now()
		maps.Copy(p.names, p.o.Names())
		name = p.names[id]
	}
	if name == "" {
		return ShortID(id, false)
	}
	return name
}

func priorityColour(priority int) Colour {
	switch {
	case priority <= journal.Error:
		return Red
	case priority == journal.Warning:
		return Yellow
	case priority == journal.Notice:
		return Bold
	case priority >= journal.Debug:
		return Dim
	}
	return Plain
}

// short is journalctl's form: time, machine, who, message.
func (p *Journal) short(l *journal.Entry) {
	at := l.Time.In(p.o.Zone).Format("Jan 02 15:04:05")
	if l.Kind != "" {
		p.out.WriteString(Paint(p.o.Colour, Bold, "-- "+at+" "+visible(l.Text, p.o.Terminal)+" --"))
		p.out.WriteByte('\n')
		return
	}
	p.out.WriteString(at)
	p.out.WriteByte(' ')
	name := p.machine(l.Machine)
	who := cmp.Or(l.Fields["SYSLOG_IDENTIFIER"], l.Fields["_COMM"])
	if who == "" || p.o.Several {
		who = strings.TrimSuffix(l.Unit, ".service")
	}
	who = visible(who, p.o.Terminal)
	if pid := l.Fields["_PID"]; pid != "" {
		who += "[" + pid + "]"
	}
	if !p.o.NoHostname {
		who = name + " " + who
	}
	source := draw.Ink{}
	if p.inks != nil {
		source = p.inks.Source(l.Unit, l.Machine)
	}
	p.out.WriteString(source.Apply(who))
	p.out.WriteString(": ")
	text := visible(l.Message, true)
	if strings.IndexByte(text, '\n') >= 0 {
		indent := len("Jan 02 15:04:05 ") + draw.Width(who) + 2
		text = strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", indent))
	}
	p.out.WriteString(Paint(p.o.Colour, priorityColour(l.Priority), text))
	p.out.WriteByte('\n')
}

// cat is the message alone, for programs as it was logged. What isn't a message is for people.
func (p *Journal) cat(l *journal.Entry) {
	if l.Kind != "" {
		p.out.Flush()
		fmt.Fprintf(p.notes, "-- %s --\n", visible(l.Text, true))
		return
	}
	text := l.Message
	if p.o.Terminal {
		text = visible(text, true)
	}
	p.out.WriteString(Paint(p.o.Colour, priorityColour(l.Priority), text))
	p.out.WriteByte('\n')
}

// visible is Printable where it has to be.
func visible(text string, always bool) string {
	if !always {
		return text
	}
	return Printable(text)
}

// fields are an entry's as systemd names them.
func (p *Journal) fields(l *journal.Entry) map[string]string {
	m := map[string]string{"__REALTIME_TIMESTAMP": strconv.FormatInt(l.Time.UnixMicro(), 10)}
	if l.Kind != "" {
		m["FLEETTOP_KIND"], m["MESSAGE"] = string(l.Kind), l.Text
		if l.Missed > 0 {
			m["FLEETTOP_MISSED"] = strconv.Itoa(l.Missed)
		}
	} else {
		maps.Copy(m, l.Fields)
		m["__CURSOR"], m["MESSAGE"] = string(l.Cursor), l.Message
		m["PRIORITY"] = strconv.Itoa(l.Priority)
	}
	if l.Unit != "" {
		m["FLEETTOP_UNIT"] = l.Unit
	}
	if l.Machine != "" {
		if m["_MACHINE_ID"] == "" {
			m["_MACHINE_ID"] = l.Machine
		}
		if m["_HOSTNAME"] == "" {
			m["_HOSTNAME"] = p.machine(l.Machine)
		}
	}
	return m
}

// json is journalctl's form: an object a line, with bytes that are no UTF-8 as numbers.
func (p *Journal) json(l *journal.Entry) {
	m := p.fields(l)
	b := append(p.buf[:0], '{')
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(journal.AppendText(b, k), ':')
		v := m[k]
		if utf8.ValidString(v) {
			b = journal.AppendText(b, v)
			continue
		}
		b = append(b, '[')
		for i := range len(v) {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, int64(v[i]), 10)
		}
		b = append(b, ']')
	}
	p.buf = append(b, '}', '\n')
	p.out.Write(p.buf) // fails only as the writer does, which Flush tells
}

// export is systemd's journal export format.
func (p *Journal) export(l *journal.Entry) {
	m := p.fields(l)
	first := []string{"__CURSOR", "__REALTIME_TIMESTAMP", "__MONOTONIC_TIMESTAMP", "_BOOT_ID"}
	write := func(k string) {
		v := m[k]
		if utf8.ValidString(v) && !strings.ContainsFunc(v, func(r rune) bool { return r != '\t' && r < 0x20 }) {
			p.out.WriteString(k + "=" + v + "\n")
			return
		}
		p.out.WriteString(k + "\n")
		var size [8]byte
		binary.LittleEndian.PutUint64(size[:], uint64(len(v)))
		p.out.Write(size[:])
		p.out.WriteString(v)
		p.out.WriteByte('\n')
	}
	for _, k := range first {
		if _, ok := m[k]; ok {
			write(k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(first, k) {
			write(k)
		}
	}
	p.out.WriteByte('\n')
}
