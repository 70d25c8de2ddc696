package journal

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestJSON: what is written reads the same, by ParseJSON and by encoding/json.
func TestJSON(t *testing.T) {
	text := rapid.OneOf(rapid.StringMatching(`[ -~]*`), rapid.String(), rapid.SampledFrom([]string{"",
		"\x1b[31mred\x1b[0m", `"\`, "tab\tline\n", "<&>\u2028", "日本"}))
	rapid.Check(t, func(t *rapid.T) {
		e := Entry{
			Time:    time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC(),
			Machine: text.Draw(t, "machine"), Unit: text.Draw(t, "unit"), Priority: rapid.IntRange(0, 7).Draw(t, "priority"),
			Message: rapid.OneOf(text, rapid.Custom(func(t *rapid.T) string {
				return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
			})).Draw(t, "message"),
			Cursor: Cursor(text.Draw(t, "cursor")),
		}
		if rapid.Bool().Draw(t, "fields") {
			e.Fields = rapid.MapOfN(text, text, 1, 3).Draw(t, "fields")
		}
		want := e
		want.Kind, want.Text = Kind(text.Draw(t, "kind")), text.Draw(t, "text")
		want.Missed = rapid.IntRange(0, 9).Draw(t, "missed")
		raw := want.AppendJSON(nil)
		got, err := ParseJSON(raw[:len(raw)-1])
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s\nreads as %+v, %v\nnot as   %+v", raw, got, err, want)
		}
		var std Entry
		if err := json.Unmarshal(raw, &std); err != nil || !reflect.DeepEqual(std, want) {
			t.Fatalf("%s\nreads for others as %+v, %v", raw, std, err)
		}
		if got.Message != e.Message {
			t.Fatalf("the message was %q and is %q", e.Message, got.Message)
		}
	})
}

func FuzzJSON(f *testing.F) {
	l := Entry{Time: time.Unix(1, 5), Machine: "m", Unit: "u", Priority: 3, Message: "x", Cursor: "c",
		Fields: map[string]string{"_PID": "1"}}
	raw := l.AppendJSON(nil)
	f.Add(raw[:len(raw)-1])
	for _, seed := range []string{
		`{"kind":"missed","time":"2026-01-01T00:00:00Z","priority":6,"missed":4,"text":"t"}`,
		`{"time":"2026-01-01T0:00:00Z","priority":6}`, `{"time":"2026\u002d01-01T00:00:00Z","priority":6}`,
		`{"time":"2026-01-01T00:00:00,5+01:00","priority":6}`,
		`{"time":"2026-01-01T00:00:00Z","priority":06}`, `{"time":"2026-01-01T00:00:00Z","priority":-0}`,
		`{"time":"2026-01-01T00:00:00Z","priority":6}}`,
		`{"time":"2026-01-01T00:00:00Z","priority":6,"fields":{"a":"1","a":"2"}}`,
		`{"time":"2026-01-01T00:00:00Z","priority":6,"fields":{}}`,
		"{\"time\":\"2026-01-01T00:00:00Z\",\"priority\":6,\"message\":\"\t\"}",
		"{\"time\":\"2026-01-01T00:00:00Z\",\"priority\":6,\"message\":\"\xff\\n\"}",
		`{"time":"2026-01-01T00:00:00Z","priority":6,"message":"\ud800\u0061\ud83d\ude00","missed":123456789012345678}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var fast, std Entry
		if !fast.fast(raw) {
			return
		}
		if err := json.Unmarshal(raw, &std); err != nil {
			t.Fatalf("%q is no JSON (%v), and reads as %+v", raw, err, fast)
		}
		if len(fast.Fields) == 0 {
			fast.Fields = std.Fields
		}
		if !reflect.DeepEqual(fast, std) {
			t.Fatalf("%q reads as %+v, not as %+v", raw, fast, std)
		}
	})
}

func TestFastReadsAll(t *testing.T) {
	l := Entry{Time: time.Unix(5, 0).UTC(), Machine: "m", Unit: "u", Message: "with \"quotes\", \\ and \x1b",
		Fields: map[string]string{"_CMDLINE": `a "b\c"`}}
	raw := l.AppendJSON(nil)
	var got Entry
	if !got.fast(raw[:len(raw)-1]) || !reflect.DeepEqual(got, l) {
		t.Errorf("%s reads as %+v", raw, got)
	}
}

func BenchmarkJSON(b *testing.B) {
	l := Entry{Time: time.Unix(1700000000, 123456000), Machine: strings.Repeat("a", 32),
		Unit: "web@1.service", Priority: 6,
		Message: "GET /index.html 200 1234 bytes in 5 ms", Cursor: Cursor(strings.Repeat("c", 130)),
		Fields: map[string]string{"_PID": "123", "SYSLOG_IDENTIFIER": "web"}}
	var raw []byte
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			raw = l.AppendJSON(raw[:0])
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseJSON(raw[:len(raw)-1]); err != nil {
				b.Fatal(err)
			}
		}
	})
	type bare Entry // as encoding/json does it
	b.Run("write/encoding", func(b *testing.B) {
		for b.Loop() {
			var err error
			if raw, err = json.Marshal((*bare)(&l)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read/encoding", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var l bare
			if err := json.Unmarshal(raw, &l); err != nil {
				b.Fatal(err)
			}
		}
	})
}
