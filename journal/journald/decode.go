package journald

import (
	"bytes"
	"errors"
	"strconv"
	"time"
	"unicode/utf8"

	"fleettop/journal"
)

// role is what a field means to us.
type role byte

const (
	roleOther      role = iota
	roleMessage         // MESSAGE
	rolePriority        // PRIORITY
	roleIdentifier      // SYSLOG_IDENTIFIER
	roleComm            // _COMM
	rolePID             // _PID
	roleUID             // _UID
	roleUnit            // who logged it
	roleAbout           // which unit systemd, or another with its privilege, logged it about
)

var systemRoles = map[string]role{
	"MESSAGE": roleMessage, "PRIORITY": rolePriority, "SYSLOG_IDENTIFIER": roleIdentifier, "_COMM": roleComm,
	"_PID": rolePID, "_UID": roleUID,
	"_SYSTEMD_UNIT": roleUnit, "UNIT": roleAbout, "OBJECT_SYSTEMD_UNIT": roleAbout, "COREDUMP_UNIT": roleAbout,
}

var userRoles = map[string]role{
	"MESSAGE": roleMessage, "PRIORITY": rolePriority, "SYSLOG_IDENTIFIER": roleIdentifier, "_COMM": roleComm,
	"_PID": rolePID, "_UID": roleUID,
	"_SYSTEMD_USER_UNIT": roleUnit, "USER_UNIT": roleAbout, "OBJECT_SYSTEMD_USER_UNIT": roleAbout,
	"COREDUMP_USER_UNIT": roleAbout,
}

// rolesOf is the meaning of fields in the system's journal or a user's.
func rolesOf(user bool) map[string]role {
	if user {
		return userRoles
	}
	return systemRoles
}

// datum is a field that was decoded.
type datum struct {
	role  role
	name  string
	value string
}

const (
	cachedMost   = 4096 // fields remembered of a file
	cachedLength = 512  // and how long they may be
)

// decoder makes entries of what a file has. Most fields of an entry are those
// of the one before, and are decoded once.
type decoder struct {
	f       *file
	opts    *Options
	roles   map[string]role
	unpack  unpacker
	known   map[uint64]datum // by offset
	origins map[origin]map[string]string
	e       entry
	items   []datum
}

// origin tells apart what entries say of who logged them.
type origin struct{ identifier, comm, pid string }

func newDecoder(f *file, o *Options) *decoder {
	return &decoder{f: f, opts: o, roles: rolesOf(o.User), known: map[uint64]datum{},
		origins: map[origin]map[string]string{}}
}

func (d *decoder) close() {
	d.unpack.close()
	d.f.close()
}

func (d *decoder) datum(offset uint64) (datum, error) {
	if v, ok := d.known[offset]; ok {
		return v, nil
	}
	raw, err := d.f.data(offset, &d.unpack)
	if errors.Is(err, errXZ) {
		// Its name is inside, too; the message is what can be long enough.
		return datum{roleMessage, "MESSAGE", "(compressed with XZ, which fleettop can't read: use journalctl)"}, nil
	}
	if err != nil {
		return datum{}, err
	}
	name, value, ok := bytes.Cut(raw, []byte{'='})
	if !ok || len(name) == 0 || len(name) > 64 {
		return datum{}, errDamaged
	}
	if len(value) > journal.MaxMessage {
		value = value[:journal.MaxMessage]
	}
	v := datum{role: d.roles[string(name)], value: string(value)}
	if v.role != roleMessage {
		v.name = string(name)
	} else {
		v.name = "MESSAGE"
	}
	if len(raw) <= cachedLength {
		if len(d.known) >= cachedMost {
			clear(d.known)
			clear(d.origins)
		}
		d.known[offset] = v
	}
	return v, nil
}

// decode reads an entry. ok is false for one that makes no sense or that is of no unit wanted.
func (d *decoder) decode(offset uint64, w *journal.Wanted) (out journal.Entry, ok bool) {
	if d.f.entry(offset, &d.e) != nil {
		return out, false
	}
	d.items = d.items[:0]
	var unit, about, uid string
	var from origin
	message := -1
	out.Priority = journal.Info
	for _, o := range d.e.items {
		v, err := d.datum(o)
		if err != nil {
			continue
		}
		switch v.role {
		case roleMessage:
			if message < 0 {
				message = len(d.items)
			}
		case rolePriority:
			if n, err := strconv.Atoi(v.value); err == nil && n >= journal.Emergency && n <= journal.Debug {
				out.Priority = n
			}
		case roleIdentifier:
			from.identifier = v.value
		case roleComm:
			from.comm = v.value
		case rolePID:
			from.pid = v.value
		case roleUID:
			uid = v.value
		case roleUnit:
			unit = v.value
		case roleAbout:
			if about == "" || w.Units[v.value] {
				about = v.value
			}
		}
		d.items = append(d.items, v)
	}
	switch {
	case about != "" && w.Units[about] && d.trusted(from.pid, uid):
		out.Unit = about
	case w.Units[unit] && (!d.opts.User || uid == d.opts.uid()):
		out.Unit = unit
	default:
		return out, false
	}
	if message >= 0 {
		out.Message = d.items[message].value
	}
	out.Machine = d.opts.Machine
	out.Time = time.UnixMicro(int64(d.e.realtime))
	out.Cursor = journal.Cursor(d.f.cursor(&d.e).String())
	if w.Fields {
		out.Fields = d.all(message)
	} else {
		out.Fields = d.origin(from)
	}
	return out, true
}

// trusted reports whether a process may say which unit an entry is about.
func (d *decoder) trusted(pid, uid string) bool {
	if d.opts.User {
		return uid == d.opts.uid() || uid == "0"
	}
	return uid == "0" || pid == "1"
}

// all are the fields beside the message, with the first of several values.
func (d *decoder) all(message int) map[string]string {
	m := make(map[string]string, len(d.items)+2)
	for i, v := range d.items {
		if _, taken := m[v.name]; i != message && !taken {
			m[v.name] = v.value
		}
	}
	boot := d.f.cursor(&d.e).bootID()
	m["__MONOTONIC_TIMESTAMP"] = strconv.FormatUint(d.e.monotonic, 10)
	if _, ok := m["_BOOT_ID"]; !ok {
		m["_BOOT_ID"] = boot
	}
	return m
}

// origin is the identifier, or the program's name where there is none, and the
// process alone, shared between entries.
func (d *decoder) origin(from origin) map[string]string {
	m, ok := d.origins[from]
	if !ok {
		m = map[string]string{}
		switch {
		case from.identifier != "" && utf8.ValidString(from.identifier):
			m["SYSLOG_IDENTIFIER"] = from.identifier
		case from.comm != "" && utf8.ValidString(from.comm):
			m["_COMM"] = from.comm
		}
		if from.pid != "" {
			m["_PID"] = from.pid
		}
		if len(d.origins) >= cachedMost {
			clear(d.origins)
		}
		d.origins[from] = m
	}
	return m
}
