package state

import (
	"slices"
	"strings"
)

// Query is a filter: words that must all hold. A word is looked for anywhere;
// ~word needs its letters in that order, key=value looks into one field, and
// ! before any of them turns it around.
type Query struct {
	text  string
	terms []term
}

type term struct {
	not, fuzzy bool
	key, text  string
}

// ParseQuery reads a filter. Anything is a filter.
func ParseQuery(text string) Query {
	q := Query{text: strings.TrimSpace(text)}
	for _, word := range strings.Fields(strings.ToLower(text)) {
		var t term
		word, t.not = strings.CutPrefix(word, "!")
		word, t.fuzzy = strings.CutPrefix(word, "~")
		if key, value, ok := strings.Cut(word, "="); ok && key != "" {
			t.key, word = key, value
		}
		if word == "" && t.key == "" {
			continue
		}
		t.text = word
		q.terms = append(q.terms, t)
	}
	return q
}

// String is the filter as it was given.
func (q Query) String() string { return q.text }

// Empty reports whether everything passes.
func (q Query) Empty() bool { return len(q.terms) == 0 }

// Match reports whether something passes: hay is what words are looked for in,
// field gives a field in lower case, and false where there is no such field.
func (q Query) Match(hay string, field func(key string) (string, bool)) bool {
	for _, t := range q.terms {
		if t.holds(hay, field) == t.not {
			return false
		}
	}
	return true
}

func (t term) holds(hay string, field func(string) (string, bool)) bool {
	if t.key != "" {
		value, ok := field(t.key)
		if !ok {
			return false
		}
		hay = value
		if t.text == "" {
			return value == ""
		}
	}
	if t.fuzzy {
		return subsequence(hay, t.text)
	}
	return strings.Contains(hay, t.text)
}

func subsequence(hay, letters string) bool {
	for _, r := range letters {
		i := strings.IndexRune(hay, r)
		if i < 0 {
			return false
		}
		hay = hay[i+len(string(r)):]
	}
	return true
}

// Keys of the fields a filter can look into.
var (
	RowKeys = []string{"unit", "state", "desired", "active", "sub", "machine", "template", "hash", "about", "moved",
		"global"}
	MachineKeys = []string{"name", "address", "id", "state", "role", "version", "units"}
	EventKeys   = []string{"kind", "machine", "unit", "by"}
)

// Matches reports whether a row passes a filter.
func (r *Row) Matches(q Query) bool {
	return q.Match(r.hay, func(key string) (string, bool) {
		switch key {
		case "unit", "name":
			return strings.ToLower(r.Unit), true
		case "state":
			return r.Word + " " + r.shown(), true
		case "desired":
			return string(r.Desired), true
		case "active":
			return r.Active, true
		case "sub":
			return r.Sub, true
		case "machine", "host":
			return strings.ToLower(r.Host) + " " + r.Machine, true
		case "template":
			return strings.ToLower(r.Template), true
		case "hash":
			return r.Hash, true
		case "about", "desc":
			return strings.ToLower(r.About), true
		case "global":
			return yesNo(r.Global), true
		case "moved":
			return yesNo(r.Move != nil), true
		}
		return "", false
	})
}

// Matches reports whether a machine passes a filter. Its metadata are fields too.
func (m *Machine) Matches(q Query) bool {
	return q.Match(m.hay+" "+m.Word, func(key string) (string, bool) {
		switch key {
		case "name":
			return strings.ToLower(m.Label), true
		case "address", "ip":
			return m.Address, true
		case "id", "machine":
			return m.ID, true
		case "state":
			return m.Word, true
		case "role":
			return m.Role(), true
		case "version":
			return strings.ToLower(m.Version), true
		}
		for k, v := range m.Metadata {
			if strings.ToLower(k) == key {
				return strings.ToLower(v), true
			}
		}
		return "", false
	})
}

// Matches reports whether an entry passes a filter; machines are known by name through called.
func (e *Entry) Matches(q Query, called func(id string) string) bool {
	return q.Match(e.hay, func(key string) (string, bool) {
		switch key {
		case "kind":
			return string(e.Kind), true
		case "by":
			return strings.ToLower(e.By), true
		case "unit":
			return e.any(func(i int) string { return e.event(i).Unit }), true
		case "machine":
			return e.any(func(i int) string {
				ev := e.event(i)
				var names []string
				for _, id := range []string{ev.Machine, ev.From, ev.To} {
					if id != "" && !slices.Contains(names, id) {
						names = append(names, id, called(id))
					}
				}
				return strings.Join(names, " ")
			}), true
		}
		return "", false
	})
}

func (e *Entry) any(of func(i int) string) string {
	var parts []string
	for i := range max(1, len(e.Block)) {
		parts = append(parts, of(i))
	}
	return strings.ToLower(strings.Join(parts, " "))
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
