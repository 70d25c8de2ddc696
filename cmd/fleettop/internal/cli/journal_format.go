package cli

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"fleettop/daemon/api"
	"fleettop/journal"
	"fleettop/tui/draw"
	"fleettop/tui/theme"
)

// journalPrinter writes lines of logs.
type journalPrinter struct {
	app      *app
	fl       *journalFlags
	out      *bufio.Writer
	zone     *time.Location
	colour   bool // may be used
	terminal bool // is written to
	several  bool // units are asked for
	names    map[string]string
	inks     *theme.Theme // for the sources; nil without colour
	look     func() map[string]string
	looked   time.Time
	buf      []byte
	wrote    bool
	told     map[string]bool // dividers of this connection and those before
}

var journalForms = map[string]func(*journalPrinter, *api.LogLine){
	"short": (*journalPrinter).short, "cat": (*journalPrinter).cat, "json": (*journalPrinter).json, "export": (*journalPrinter).export,
}

// print writes a line in the form that was asked for.
func (p *journalPrinter) print(l *api.LogLine) {
	p.wrote = true
	if l.Kind == api.LogDivider {
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
	journalForms[p.fl.output](p, l)
}

// machine is what a machine is called.
func (p *journalPrinter) machine(id string) string {
	name, ok := p.names[id]
	if !ok && time.Since(p.looked) > time.Second {
		p.looked = time.Now()
		maps.Copy(p.names, p.look())
		name = p.names[id]
	}
	if name == "" {
		return shortID(id, false)
	}
	return name
}

func priorityColour(priority int) string {
	switch {
	case priority <= journal.Error:
		return red
	case priority == journal.Warning:
		return yellow
	case priority == journal.Notice:
		return bold
	case priority >= journal.Debug:
		return dim
	}
	return plain
}

// short is journalctl's form: time, machine, who, message.
func (p *journalPrinter) short(l *api.LogLine) {
	at := l.Time.In(p.zone).Format("Jan 02 15:04:05")
	if l.Kind != "" {
		p.out.WriteString(paint(p.colour, bold, "-- "+at+" "+visible(l.Text, p.terminal)+" --"))
		p.out.WriteByte('\n')
		return
	}
	p.out.WriteString(at)
	p.out.WriteByte(' ')
	name := p.machine(l.Machine)
	who := cmp.Or(l.Fields["SYSLOG_IDENTIFIER"], l.Fields["_COMM"])
	if who == "" || p.several {
		who = strings.TrimSuffix(l.Unit, ".service")
	}
	who = visible(who, p.terminal)
	if pid := l.Fields["_PID"]; pid != "" {
		who += "[" + pid + "]"
	}
	if !p.fl.noHostname {
		who = name + " " + who
	}
	source := draw.Ink{}
	if p.inks != nil {
		source = p.inks.Source(l.Unit, l.Machine)
	}
	p.out.WriteString(source.Apply(who))
	p.out.WriteString(": ")
	text := visible(l.Content(), true)
	if strings.IndexByte(text, '\n') >= 0 {
		indent := len("Jan 02 15:04:05 ") + draw.Width(who) + 2
		text = strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", indent))
	}
	p.out.WriteString(paint(p.colour, priorityColour(l.Priority), text))
	p.out.WriteByte('\n')
}

// cat is the message alone, for programs as it was logged. What isn't a message is for people.
func (p *journalPrinter) cat(l *api.LogLine) {
	if l.Kind != "" {
		p.out.Flush()
		fmt.Fprintf(p.app.err, "-- %s --\n", visible(l.Text, true))
		return
	}
	text := l.Content()
	if p.terminal {
		text = visible(text, true)
	}
	p.out.WriteString(paint(p.colour, priorityColour(l.Priority), text))
	p.out.WriteByte('\n')
}

// visible is printable where it has to be.
func visible(text string, always bool) string {
	if !always {
		return text
	}
	return printable(text)
}

// fields are an entry's as systemd names them.
func (p *journalPrinter) fields(l *api.LogLine) map[string]string {
	m := map[string]string{"__REALTIME_TIMESTAMP": strconv.FormatInt(l.Time.UnixMicro(), 10)}
	if l.Kind != "" {
		m["FLEETTOP_KIND"], m["MESSAGE"] = l.Kind, l.Text
		if l.Missed > 0 {
			m["FLEETTOP_MISSED"] = strconv.Itoa(l.Missed)
		}
	} else {
		maps.Copy(m, l.Fields)
		m["__CURSOR"], m["MESSAGE"] = l.Cursor, l.Content()
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
func (p *journalPrinter) json(l *api.LogLine) {
	m := p.fields(l)
	b := append(p.buf[:0], '{')
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(api.AppendText(b, k), ':')
		v := m[k]
		if utf8.ValidString(v) {
			b = api.AppendText(b, v)
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
func (p *journalPrinter) export(l *api.LogLine) {
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
