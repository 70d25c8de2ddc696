package journal

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendJSON appends the entry as a line of JSON, as encoding/json would write
// it but for the escaping of HTML. BenchmarkJSON shows by how much it is faster.
func (e *Entry) AppendJSON(b []byte) []byte {
	text := func(key, value string) {
		b = append(b, key...)
		b = AppendText(b, value)
	}
	b = append(b, '{')
	if e.Kind != "" {
		text(`"kind":`, string(e.Kind))
		b = append(b, ',')
	}
	b = append(b, `"time":"`...)
	b = e.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	if e.Machine != "" {
		text(`,"machine":`, e.Machine)
	}
	if e.Unit != "" {
		text(`,"unit":`, e.Unit)
	}
	b = strconv.AppendInt(append(b, `,"priority":`...), int64(e.Priority), 10)
	if e.Message != "" {
		text(`,"message":`, e.Message)
	}
	if !utf8.ValidString(e.Message) {
		b = base64.StdEncoding.AppendEncode(append(b, `,"raw":"`...), []byte(e.Message))
		b = append(b, '"')
	}
	if e.Cursor != "" {
		text(`,"cursor":`, string(e.Cursor))
	}
	if len(e.Fields) > 0 {
		b = append(b, `,"fields":{`...)
		sep := false
		for k, v := range e.Fields {
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
	if e.Missed != 0 {
		b = strconv.AppendInt(append(b, `,"missed":`...), int64(e.Missed), 10)
	}
	if e.Text != "" {
		text(`,"text":`, e.Text)
	}
	return append(b, '}', '\n')
}

const hexDigits = "0123456789abcdef"

// plain are the bytes that stand for themselves in a JSON string, wherever they are.
var plain = func() (t [256]bool) {
	for c := byte(0x20); c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// AppendText appends a string as JSON. Bytes that are no UTF-8 become U+FFFD.
func AppendText(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
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

// ParseJSON reads what AppendJSON wrote. Its error is encoding/json's.
func ParseJSON(raw []byte) (Entry, error) {
	var e Entry
	if e.fast(raw) {
		return e, nil
	}
	e = Entry{}
	return e, json.Unmarshal(raw, &e)
}

// UnmarshalJSON reads an entry with all its bytes.
func (e *Entry) UnmarshalJSON(raw []byte) error {
	type bare Entry // without this method
	wire := struct {
		*bare
		Raw []byte `json:"raw"`
	}{bare: (*bare)(e)}
	if err := json.Unmarshal(raw, &wire); err != nil {
		return err
	}
	if wire.Raw != nil {
		e.Message = string(wire.Raw)
	}
	return nil
}
