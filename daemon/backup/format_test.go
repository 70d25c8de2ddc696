package backup

import (
	"bytes"
	"compress/gzip"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

func sample() *Content {
	at := time.Date(2026, 11, 27, 13, 0, 0, 0, time.UTC)
	return &Content{
		Header: Header{Cluster: "abc", Revision: 77, Time: at, Machine: "n1", Software: "1.0"},
		Units: []Unit{
			{Unit: cluster.Unit{Name: "a.service", Content: "[Service]\nExecStart=/bin/a <&>\n", Desired: units.Launched, Generation: 3}},
			{Unit: cluster.Unit{Name: "job.service", Content: "[Service]\nType=oneshot\nExecStart=/bin/b\n", Desired: units.Launched,
				Generation: 1}, Finished: true},
		},
		Machines: []cluster.Machine{{ID: "1", Name: "n1", Schedule: cluster.Cordoned, ScheduledAt: at}},
		Events:   []cluster.Event{{ID: "1-a", Time: at, Kind: cluster.EventUnit, Text: "started a.service"}},
	}
}

func packed(t *testing.T, c *Content) []byte {
	t.Helper()
	raw, err := Pack(c)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// lines changes the lines within a backup's file.
func lines(t *testing.T, raw []byte, change func(string) string) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, change(string(text))); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	want := sample()
	got, err := Read(bytes.NewReader(packed(t, want)))
	if err != nil {
		t.Fatal(err)
	}
	want.Format, want.Version = formatName, formatVersion
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read\n%+v, written\n%+v", got, want)
	}
}

// TestEveryCutIsSeen cuts a backup at each byte, and alters each one.
func TestEveryCutIsSeen(t *testing.T) {
	raw := packed(t, sample())
	for n := range raw {
		if _, err := Read(bytes.NewReader(raw[:n])); err == nil {
			t.Fatalf("cut after %d of %d bytes, it is taken", n, len(raw))
		}
	}
	want, _ := Read(bytes.NewReader(raw))
	for n := range raw {
		bad := bytes.Clone(raw)
		bad[n] ^= 0x20
		// gzip's header has bytes that say nothing of the content.
		if got, err := Read(bytes.NewReader(bad)); err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("altered at byte %d, other content is taken", n)
		}
	}
}

func TestRefusedBackups(t *testing.T) {
	raw := packed(t, sample())
	sub := func(old, by string) []byte {
		return lines(t, raw, func(s string) string { return strings.Replace(s, old, by, 1) })
	}
	for name, c := range map[string]struct {
		raw  []byte
		says string
	}{
		"text":              {[]byte("hello"), "this is no backup"},
		"nothing":           {nil, "this is no backup"},
		"another gzip":      {lines(t, raw, func(string) string { return "hello\n" }), "this is no backup"},
		"altered":           {sub("/bin/a", "/bin/x"), "altered or damaged"},
		"a record less":     {lines(t, raw, func(s string) string { l := strings.SplitAfter(s, "\n"); return l[0] + strings.Join(l[2:], "") }), "altered"},
		"no last line":      {lines(t, raw, func(s string) string { return s[:strings.LastIndex(s, `{"end"`)] }), "cut off"},
		"more at the end":   {lines(t, raw, func(s string) string { return s + "{}\n" }), "altered"},
		"a newer format":    {sub(`"version":1`, `"version":2`), "made by fleettop 1.0 in format 2"},
		"cut in the middle": {raw[:len(raw)/2], "cut off"},
	} {
		if _, err := Read(bytes.NewReader(c.raw)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, expected %q", name, err, c.says)
		}
	}
}
