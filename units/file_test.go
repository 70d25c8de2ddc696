package units

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func mustParse(t testing.TB, content string) *File {
	t.Helper()
	f, err := ParseFile(content)
	if err != nil {
		t.Fatalf("ParseFile(%q): %v", content, err)
	}
	return f
}

// TestHash compares with sha1sum of serializations written by hand, which
// fleet's own parser was seen to agree with.
func TestHash(t *testing.T) {
	tests := []struct{ name, content, want string }{
		{"fleet's own test", "[Service]\nExecStart=/bin/sleep 100\n", "1c6fb6f3684bafb0c173d8b8b957ceff031180c1"},
		{"comments, blanks, no line feed at the end",
			"# c\n[Unit]\nDescription = Web \nAfter=a.service\n; x\nAfter=b.service\n\n\n[Service]\nExecStart=/bin/web",
			"fc5eb7ecc41b4a3a1898371942b1d2b5a66dec7f"},
		{"a section in two parts", "[Unit]\nDescription=A\n[Service]\nExecStart=/bin/a\n[Unit]\nAfter=b.service\n",
			"367289a11295d5bcd44cd7a33a2de7d655b9dd17"},
		{"continuation", "[Service]\nExecStart=/bin/sh -c \"a \\\n   b \\\n c\"  \nRestart=always\n",
			"21772ce3017bb5c3954831eea017b3622e762816"},
		{"continuation into nothing", "[Service]\nEnvironment=A=1 \\\n   \nExecStart=/bin/a\n",
			"399dd039f7a44162a9f7fab464d5b03f1cba1ded"},
		{"comment in a continuation", "[Service]\nExecStart=/bin/a \\\n# not b \\\n  c\n",
			"878bde0c8dd52db2f15ae710fb6d6658599fdae7"},
		{"Windows line ends, empty value", "[Service]\r\nExecStart=\r\nExecStart=/bin/a\r\n",
			"c320b3323c74e9e059ed5ad32966d3642884c042"},
		{"UTF-8, byte order mark", "\ufeff[Unit]\nDescription=größe 漢字\n[Service]\nExecStart=/bin/a\n" +
			"[X-Fleet]\nMachineMetadata=\"a=b\" \"c=d\"\nConflicts=web@*.service\n",
			"fb0e80f2c13f48454371fe60c6baa5bc027bc8eb"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := mustParse(t, tt.content)
			if f.Hash() != tt.want {
				t.Errorf("Hash() = %s, want %s", f.Hash(), tt.want)
			}
			if f.Content() != tt.content {
				t.Errorf("Content() = %q, want %q", f.Content(), tt.content)
			}
		})
	}
}

func TestOptionsAndLines(t *testing.T) {
	f := mustParse(t, `# a comment
# that goes on \
# here

[Unit]
Description=Web \
  server
; another
After=a.service
   After = b.service   

[Service]
ExecStart=/bin/web \
  # not this \
  --port 80
Environment=

[Unit]
Wants=c.service
`)
	written := []Option{
		{"Unit", "Description", "Web \\\n  server", 6},
		{"Unit", "After", "a.service", 9},
		{"Unit", "After", "b.service", 10},
		{"Service", "ExecStart", "/bin/web \\\n  # not this \\\n  --port 80", 13},
		{"Service", "Environment", "", 16},
		{"Unit", "Wants", "c.service", 19},
	}
	if got := f.Written(); !slices.Equal(got, written) {
		t.Errorf("Written() =\n%+v, want\n%+v", got, written)
	}
	want := slices.Clone(written)
	want[0].Value, want[3].Value = "Web    server", "/bin/web    --port 80"
	if got := f.Options(); !slices.Equal(got, want) {
		t.Errorf("Options() =\n%+v, want\n%+v", got, want)
	}
	if got, want := f.Description(), "Web    server"; got != want {
		t.Errorf("Description() = %q, want %q", got, want)
	}
	f.Options()[0].Value, f.Written()[0].Value = "changed", "changed"
	if f.Options()[0].Value == "changed" || f.Written()[0].Value == "changed" {
		t.Error("the file changed with a slice that it returned")
	}
}

var tooLong = strings.Repeat("x", 2048-len("A="))

// unreadable are files that ParseFile refuses.
var unreadable = []struct {
	name, content string
	line          int
	want          string
}{
	{"empty", "", 0, "the file is empty"},
	{"blank", " \n\t\n", 0, "the file is empty"},
	{"a mebibyte", strings.Repeat("#\n", 1<<19), 0, "1048576 bytes long, the limit is 262144 (256 KiB)"},
	{"a byte too long", "[A]\nB=c\n" + strings.Repeat("#", MaxFileSize-7), 0, "262145 bytes long, the limit is 262144"},
	{"binary", "\x7fELF\x02\x01\x01\x00\x00", 1, "NUL byte"},
	{"NUL further down", "[A]\nB=c\nD=\x00\n", 3, "NUL byte"},
	{"not UTF-8", "[A]\nB=\xff\n", 2, "byte 0xff is not UTF-8"},
	{"replacement character before", "[A]\nB=\ufffd\nC=\xc3\n", 3, "byte 0xc3 is not UTF-8"},
	{"comments alone", "# nothing\n", 0, "no section"},
	{"headings alone", "[Unit]\n\n[Service]\n", 0, "no settings: write some below [Unit]"},
	{"setting before a section", "\n# c\nA=b\n[A]\n", 3, `"A=b" stands before any section`},
	{"heading behind garbage", "A=b [A]\nB=c\n", 1, "stands before any section"},
	{"text", "Dear reader,\nthis is no unit file\n", 1, "stands before any section"},
	{"open bracket", "[A\nB=c]\n", 1, "no closing bracket"},
	{"after the bracket", "[A] B=c\n", 1, `there is "B=c" after [A]`},
	{"no section name", "[]\nA=b\n", 1, "the section has no name"},
	{"no equals sign", "[A]\nB=c\n\nExecStart /bin/a\n", 4, `"ExecStart /bin/a" is neither`},
	{"no name", "[A]\n = b\n", 2, "no name before the ="},
	{"line too long", "[A]\n#\nA=" + tooLong + "\n", 3, "2048 bytes long, the limit is 2047"},
	{"comment too long", "#" + strings.Repeat("x", 2047) + "\n[A]\nB=c\n", 1, "2048 bytes long"},
	{"carriage return", "[A]\nB=c\rD=e\n", 2, "carriage return"},
	{"Windows continuation", "[A]\r\nB=c \\\r\n  d\r\n", 2, "Windows line end"},
	{"blanks after the backslash", "[A]\nB=c \\ \n  d\n", 2, "blanks after the backslash"},
	{"blanks after a continued line's", "[A]\nB=c \\\n  d\\\t\n", 3, "blanks after the backslash"},
	{"two backslashes", "[A]\nB=c\\\\\nD=e\n", 2, "ends in 2 backslashes"},
	{"backslash at the end of the file", "[A]\nB=c \\\n d\\", 3, "the file ends in a backslash"},
	{"comment over a setting", "[A]\nB=c\n#d \\\nE=f\n", 4, "the comment above ends in a backslash"},
	{"comment with a blank over a setting", "[A]\nB=c\n#d \\ \nE=f\n", 4, "the comment above ends in a backslash"},
	{"comment over a heading", "#d \\\n[A]\nB=c\n", 2, "the comment above ends in a backslash"},
	{"no-break space before a setting", "[A]\n\u00a0B=c\n", 2, "begins with a no-break space (U+00A0)"},
	{"no-break space after a setting", "[A]\nB=c\u00a0\n", 2, "ends in a no-break space (U+00A0)"},
	{"no-break space alone", "[A]\n\u00a0\nB=c\n", 2, "no-break space"},
	{"no-break space before a comment", "[A]\n\u00a0# c\nB=c\n", 2, "no-break space"},
	{"no-break space before a heading", "\u00a0[A]\nB=c\n", 1, "no-break space"},
	{"no-break space after a heading", "[A]\u00a0\nB=c\n", 1, "no-break space"},
	{"no-break space before the =", "[A]\nB\u00a0=c\n", 2, "no-break space"},
	{"no-break space after the =", "[A]\nB= \u00a0c\n", 2, "no-break space"},
	{"no-break space before a Windows line end", "[A]\r\nB=c\u00a0\r\n", 2, "no-break space"},
	{"no-break space in a continuation", "[A]\nB=c \\\n\u00a0 d\n", 3, "begins with a no-break space"},
	{"no-break space at the end of a continuation", "[A]\nB=c \\\n d \u00a0\n", 3, "ends in a no-break space"},
	{"no-break space before the backslash", "[A]\nB=c\u00a0\\\n d\n", 2, "ends in a no-break space"},
	{"no-break space after the backslash", "[A]\nB=c \\\u00a0\n d\n", 2, "ends in a no-break space"},
	{"no-break space for the empty line", "[A]\nB=c \\\n\u00a0\nD=e\n", 3, "no-break space"},
	{"ideographic space", "[A]\nB=\u3000c\n", 2, "the character U+3000"},
	{"form feed", "[A]\nB=c\f\n", 2, "a control character (U+000C)"},
	{"comment ends a continuation and the file", "[A]\nB=c \\\n# d", 3, "the file ends in a backslash"},
}

func TestParseFileRefuses(t *testing.T) {
	for _, tt := range unreadable {
		t.Run(tt.name, func(t *testing.T) {
			f, err := ParseFile(tt.content)
			if err == nil {
				t.Fatalf("accepted: %+v", f.Options())
			}
			wantFileError(t, err, tt.line, tt.want)
		})
	}
}

// TestParseFileAccepts has what looks like the above and is in order.
func TestParseFileAccepts(t *testing.T) {
	for _, content := range []string{
		"[A]\nB=c\n" + strings.Repeat("#\n", (MaxFileSize-8)/2),
		"[A]\nA=" + strings.Repeat("x", 2047-len("A=")),
		"[A]\nB=c \\\n# d \\\n\nE=f\n",
		"[A]\nB=c\n#ExecStart=/bin/a \\\n#  b \\\n\nE=f\n",
		"[A]\nB=c\\d \\\\\\\n e\n",
		"[A]\nB=\\\n\n",
		"  [A]  \n\t B = c\n",
		"[A]\nB==\n",
		"[A]\n#c\u00a0\nB=c\u00a0d\n# e\f\\\n\nE=f\n",
	} {
		if _, err := ParseFile(content); err != nil {
			t.Errorf("ParseFile(%.60q…): %v", content, err)
		}
	}
}

func wantFileError(t *testing.T, err error, line int, text string) {
	t.Helper()
	var fe *FileError
	if !errors.As(err, &fe) {
		t.Fatalf("%v is no *FileError", err)
	}
	if fe.Line != line || !strings.Contains(fe.Msg, text) {
		t.Errorf("line %d: %s; want line %d: %s", fe.Line, fe.Msg, line, text)
	}
	want := fe.Msg
	if line > 0 {
		want = fmt.Sprintf("line %d: %s", line, fe.Msg)
	}
	if fe.Error() != want {
		t.Errorf("Error() = %q, want %q", fe.Error(), want)
	}
}

func TestFileFromOptions(t *testing.T) {
	f, err := FileFromOptions([]Option{
		{Section: "Unit", Name: "Description", Value: "A", Line: 70},
		{Section: "Service", Name: "ExecStart", Value: "/bin/a \\\n  b"},
		{Section: "Unit", Name: "After", Value: "b.service"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "[Unit]\nDescription=A\nAfter=b.service\n\n[Service]\nExecStart=/bin/a \\\n  b\n"
	if f.Content() != want {
		t.Errorf("Content() = %q, want %q", f.Content(), want)
	}
	if got := f.Options()[2]; got.Line != 6 || got.Name != "ExecStart" {
		t.Errorf("the last option is %+v, want ExecStart on line 6", got)
	}
}

// TestFileFromOptionsRefuses has options that would become other ones in a file.
func TestFileFromOptionsRefuses(t *testing.T) {
	for name, opts := range map[string][]Option{
		"none":                nil,
		"line feed":           {{Section: "A", Name: "B", Value: "c\nD=e"}},
		"heading in a value":  {{Section: "A", Name: "B", Value: "c\n[D]\nE=f"}},
		"comment in a value":  {{Section: "A", Name: "B", Value: "c\n#d"}},
		"backslash at end":    {{Section: "A", Name: "B", Value: "c\\"}, {Section: "A", Name: "D", Value: "e"}},
		"blanks around":       {{Section: "A", Name: "B", Value: " c "}},
		"blank name":          {{Section: "A", Name: " ", Value: "c"}},
		"equals sign in name": {{Section: "A", Name: "B=C", Value: "d"}},
		"comment for a name":  {{Section: "A", Name: "#B", Value: "c"}, {Section: "A", Name: "D", Value: "e"}},
		"heading for a name":  {{Section: "A", Name: "[B]\nC", Value: "d"}},
		"bracket in section":  {{Section: "A]\nB=c\n[D", Name: "E", Value: "f"}},
		"no section":          {{Name: "B", Value: "c"}},
		"NUL":                 {{Section: "A", Name: "B", Value: "\x00"}},
		"too large":           {{Section: "A", Name: "B", Value: strings.Repeat("x\\\n", MaxFileSize/3) + "x"}},
	} {
		f, err := FileFromOptions(opts)
		var fe *FileError
		if err == nil {
			t.Errorf("%s: accepted as %q", name, f.Content())
		} else if !errors.As(err, &fe) {
			t.Errorf("%s: %v is no *FileError", name, err)
		}
	}
}
