package api

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/journal"
)

// TestLogLineWire: what is written reads the same, by our reader and by any other.
func TestLogLineWire(t *testing.T) {
	text := rapid.OneOf(rapid.StringMatching(`[ -~]*`), rapid.String(), rapid.SampledFrom([]string{"", "\x1b[31mred\x1b[0m", `"\`, "tab\tline\n", "<&>\u2028", "日本"}))
	rapid.Check(t, func(t *rapid.T) {
		e := journal.Entry{
			Time:    time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC(),
			Machine: text.Draw(t, "machine"), Unit: text.Draw(t, "unit"), Priority: rapid.IntRange(0, 7).Draw(t, "priority"),
			Message: rapid.OneOf(text, rapid.Custom(func(t *rapid.T) string {
				return string(rapid.SliceOf(rapid.Byte()).Draw(t,
					"bytes"))
			})).Draw(t, "message"),
			Cursor: journal.Cursor(text.Draw(t, "cursor")),
		}
		if rapid.Bool().Draw(t, "fields") {
			e.Fields = rapid.MapOfN(text, text, 1, 3).Draw(t, "fields")
		}
		want := lineOf(&e)
		want.Kind, want.Missed, want.Text = text.Draw(t, "kind"), rapid.IntRange(0, 9).Draw(t, "missed"), text.Draw(t, "text")
		raw := AppendLogLine(nil, &want)
		got, err := DecodeLogLine(raw[:len(raw)-1])
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s\nreads as %+v, %v\nnot as   %+v", raw, got, err, want)
		}
		var std LogLine
		if err := json.Unmarshal(raw, &std); err != nil || !reflect.DeepEqual(std, want) {
			t.Fatalf("%s\nreads for others as %+v, %v", raw, std, err)
		}
		if got.Content() != e.Message {
			t.Fatalf("the message was %q and is %q", e.Message, got.Content())
		}
	})
}

func lineOf(e *journal.Entry) LogLine {
	l := LogLine{Time: e.Time, Machine: e.Machine, Unit: e.Unit, Priority: e.Priority, Cursor: string(e.Cursor),
		Fields: e.Fields}
	l.SetContent(e.Message)
	return l
}

func FuzzLogLine(f *testing.F) {
	l := lineOf(&journal.Entry{Time: time.Unix(1, 5), Machine: "m", Unit: "u", Priority: 3, Message: "x", Cursor: "c",
		Fields: map[string]string{"_PID": "1"}})
	raw := AppendLogLine(nil, &l)
	f.Add(raw[:len(raw)-1])
	for _, seed := range []string{
		`{"kind":"missed","time":"2026-01-01T00:00:00Z","priority":6,"missed":4,"text":"t"}`,
		`{"time":"2026-01-01T0:00:00Z","priority":6}`, `{"time":"2026\u002d01-01T00:00:00Z","priority":6}`, `{"time":"2026-01-01T00:00:00,5+01:00","priority":6}`,
		`{"time":"2026-01-01T00:00:00Z","priority":06}`, `{"time":"2026-01-01T00:00:00Z","priority":-0}`, `{"time":"2026-01-01T00:00:00Z","priority":6}}`,
		`{"time":"2026-01-01T00:00:00Z","priority":6,"fields":{"a":"1","a":"2"}}`, `{"time":"2026-01-01T00:00:00Z","priority":6,"fields":{}}`,
		"{\"time\":\"2026-01-01T00:00:00Z\",\"priority\":6,\"message\":\"\t\"}",
		"{\"time\":\"2026-01-01T00:00:00Z\",\"priority\":6,\"message\":\"\xff\\n\"}",
		`{"time":"2026-01-01T00:00:00Z","priority":6,"message":"\ud800\u0061\ud83d\ude00","missed":123456789012345678}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var fast, std LogLine
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
	l := LogLine{Time: time.Unix(5, 0).UTC(), Machine: "m", Unit: "u", Message: "with \"quotes\", \\ and \x1b", Fields: map[string]string{"_CMDLINE": `a "b\c"`}}
	raw := AppendLogLine(nil, &l)
	var got LogLine
	if !got.fast(raw[:len(raw)-1]) || !reflect.DeepEqual(got, l) {
		t.Errorf("%s reads as %+v", raw, got)
	}
}

func TestJournalQuery(t *testing.T) {
	o := JournalOptions{Lines: -1, Since: "yesterday", Follow: true, Fields: true,
		After: map[string]string{"m2": "s=1;i=2", "m1": "p=3"}, Positions: true}
	if got, want := o.Query().Encode(),
		"after=m1~p%3D3&after=m2~s%3D1%3Bi%3D2&fields=true&follow=true&lines=0&positions=true&since=yesterday"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func BenchmarkLogLine(b *testing.B) {
	l := lineOf(&journal.Entry{Time: time.Unix(1700000000, 123456000), Machine: strings.Repeat("a", 32),
		Unit: "web@1.service", Priority: 6,
		Message: "GET /index.html 200 1234 bytes in 5 ms", Cursor: journal.Cursor(strings.Repeat("c",
			130)), Fields: map[string]string{"_PID": "123", "SYSLOG_IDENTIFIER": "web"}})
	var raw []byte
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			raw = AppendLogLine(raw[:0], &l)
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodeLogLine(raw[:len(raw)-1]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding", func(b *testing.B) {
		for b.Loop() {
			var l LogLine
			if err := json.Unmarshal(raw, &l); err != nil {
				b.Fatal(fmt.Sprint(err))
			}
		}
	})
}
