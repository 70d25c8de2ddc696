package journal

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// fast reads a line in the form this package writes it in: the keys in order,
// no spaces, and control characters escaped. It returns false for any other,
// which encoding/json then reads or refuses.
func (e *Entry) fast(raw []byte) bool {
	for _, c := range raw {
		if c < 0x20 {
			return false
		}
	}
	p := plainJSON{rest: raw, ok: true}
	p.skip(`{`)
	if p.has(`"kind":`) {
		e.Kind = Kind(p.text())
		p.skip(`,`)
	}
	p.skip(`"time":`)
	e.Time = p.time()
	if p.has(`,"machine":`) {
		e.Machine = p.text()
	}
	if p.has(`,"unit":`) {
		e.Unit = p.text()
	}
	p.skip(`,"priority":`)
	e.Priority = p.number()
	if p.has(`,"message":`) {
		e.Message = p.text()
	}
	if p.has(`,"cursor":`) {
		e.Cursor = Cursor(p.text())
	}
	if p.has(`,"fields":{`) {
		e.Fields = make(map[string]string, 4)
		for p.ok && !p.has(`}`) {
			if len(e.Fields) > 0 {
				p.skip(`,`)
			}
			k := p.text()
			p.skip(`:`)
			e.Fields[k] = p.text()
		}
	}
	if p.has(`,"missed":`) {
		e.Missed = p.number()
	}
	if p.has(`,"text":`) {
		e.Text = p.text()
	}
	p.skip(`}`)
	return p.ok && len(p.rest) == 0
}

// plainJSON reads JSON that is what is expected; ok is false as soon as it isn't.
type plainJSON struct {
	rest []byte
	ok   bool
}

func (p *plainJSON) has(prefix string) bool {
	if !p.ok || len(p.rest) < len(prefix) || string(p.rest[:len(prefix)]) != prefix {
		return false
	}
	p.rest = p.rest[len(prefix):]
	return true
}

func (p *plainJSON) skip(prefix string) { p.ok = p.has(prefix) }

func (p *plainJSON) text() string {
	if p.skip(`"`); !p.ok {
		return ""
	}
	end := bytes.IndexByte(p.rest, '"')
	if end >= 0 && bytes.IndexByte(p.rest[:end], '\\') < 0 {
		if p.ok = utf8.Valid(p.rest[:end]); !p.ok {
			return ""
		}
		s := string(p.rest[:end])
		p.rest = p.rest[end+1:]
		return s
	}
	for end = 0; end < len(p.rest) && p.rest[end] != '"'; end++ {
		if p.rest[end] == '\\' {
			end++
		}
	}
	if end >= len(p.rest) {
		p.ok = false
		return ""
	}
	// The quote before the text was skipped, and is there.
	quoted := make([]byte, 0, end+2)
	quoted = append(append(append(quoted, '"'), p.rest[:end]...), '"')
	var s string
	p.ok = json.Unmarshal(quoted, &s) == nil
	p.rest = p.rest[end+1:]
	return s
}

// time is as strict as encoding/json, which takes no escapes in a time, and no
// "T1:00:00" that time.Parse would take.
func (p *plainJSON) time() (t time.Time) {
	if p.skip(`"`); !p.ok {
		return t
	}
	end := bytes.IndexByte(p.rest, '"')
	if p.ok = end >= 0 && t.UnmarshalText(p.rest[:end]) == nil; p.ok {
		p.rest = p.rest[end+1:]
	}
	return t
}

func (p *plainJSON) number() int {
	n := 0
	for n < len(p.rest) && n < 18 && (p.rest[n] >= '0' && p.rest[n] <= '9') {
		n++
	}
	v, err := strconv.Atoi(string(p.rest[:n]))
	if err != nil || n > 1 && p.rest[0] == '0' {
		p.ok = false
	}
	p.rest = p.rest[n:]
	return v
}
