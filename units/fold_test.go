package units

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// systemdOptions reads a unit file the way systemd.syntax(7) says: line by
// line, with what is to be continued in hand. It is the model ParseFile is
// compared with, and knows nothing of fleet.
func systemdOptions(content string) []Option {
	const space = " \t\n\r"
	var list []Option
	section, held := "", ""
	began := 0 // the line of the setting in hand
	content = strings.ReplaceAll(strings.TrimPrefix(content, "\ufeff"), "\r\n", "\n")
	lines := strings.Split(content, "\n")
	for i, line := range lines {
		if text := strings.TrimLeft(line, space); text != "" && strings.ContainsRune("#;", rune(text[0])) {
			continue
		}
		if held == "" {
			began = i + 1
		}
		line = held + line
		held = ""
		escaped := false
		for _, c := range []byte(line) {
			escaped = c == '\\' && !escaped
		}
		if escaped {
			held = line[:len(line)-1] + " "
			continue
		}
		line = strings.Trim(line, space)
		if name, ok := strings.CutPrefix(line, "["); ok {
			section = strings.TrimSuffix(name, "]")
		} else if name, value, ok := strings.Cut(line, "="); ok {
			list = append(list, Option{section, strings.TrimRight(name, space), strings.TrimLeft(value, space), began})
		}
	}
	return list
}

func wantOptionsOf(t interface {
	Fatalf(format string, args ...any)
}, content string, got []Option) {
	if want := systemdOptions(content); !slices.Equal(got, want) {
		t.Fatalf("%q has the options\n%+v, and for systemd\n%+v", content, got, want)
	}
}

// TestOptionsAreSystemds puts lines of all kinds one below the other.
func TestOptionsAreSystemds(t *testing.T) {
	line := rapid.SampledFrom([]string{
		"A=b", "A=b c \\", "A=\\", "  B = c", "C=", "ExecStart=/bin/a \\", "d e", "  d e \\", "\t'f g' \\", "h\\", "x=y \\", "x=y",
		"#c", "  ; c", "# c \\", "  ;c=d \\", "", "", "  \t", "[S]", "[T] ", `C=a\\\`, `C=\x\`, `k\\l`, "A=b\r", "A=#b \\", "a;b#c",
	})
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		content := "[S]\n" + strings.Join(rapid.SliceOfN(line, 1, 12).Draw(t, "lines"), "\n") + "\n"
		f, err := ParseFile(content)
		if err != nil {
			return
		}
		accepted++
		wantOptionsOf(t, content, f.Options())
	})
	if accepted == 0 {
		t.Error("none of the files was accepted")
	}
}

// TestContinuedOptions continues an option of each kind, and looks at what its
// readers make of it.
func TestContinuedOptions(t *testing.T) {
	f := mustParse(t, "[Unit]\nDescription=A \\\n  long \\\n# no \\\n  story\n"+
		"[Service]\nType=\\\n  oneshot\nExecStart=/bin/a ; \\\n /bin/b 'c \\\n d'\nExecStart=\\\n/bin/e \\\n\nRestart=on-\\\nfailure\n"+
		"[X-Fleet]\nMachineMetadata=\"a=b\" \\\n  \"c=d\"\nConflicts=\\\n  x.service \\\n; y.service \\\n  z.service\n")
	n := mustName(t, "web.service")
	wantFileError(t, Validate(n, f), 15, "Restart=on- failure is not known: did you mean on-failure?")
	f = mustParse(t, strings.Replace(f.Content(), "on-\\\nfailure", "\\\non-failure", 1))
	if err := Validate(n, f); err != nil {
		t.Error(err)
	}
	if got, want := f.Description(), "A    long    story"; got != want {
		t.Errorf("Description() = %q, want %q", got, want)
	}
	// A comment counts for nothing, wherever it stands.
	remarked := mustParse(t, strings.Replace(f.Content(), "  long \\\n", "  long \\\n# a comment that doesn't end in a backslash\n", 1))
	if remarked.Description() != f.Description() || remarked.Hash() != f.Hash() || !slices.Equal(remarked.Written()[1:], shifted(f.Written()[1:])) {
		t.Errorf("with one more comment: %q, hash %s, options %+v; expected %q, %s, %+v", remarked.Description(), remarked.Hash(),
			remarked.Written(), f.Description(), f.Hash(), f.Written())
	}
	req, err := f.Requirements(n)
	if err != nil || !slices.Equal(req.Conflicts, []string{"x.service", "z.service"}) ||
		!slices.Equal(req.Metadata["a"], []string{"b"}) || !slices.Equal(req.Metadata["c"], []string{"d"}) {
		t.Errorf("Requirements() = %+v, %v", req, err)
	}
	starts, err := f.commands()
	if err != nil || len(starts["ExecStart"]) != 3 {
		t.Errorf("commands() = %+v, %v, want three in ExecStart", starts, err)
	}
}

// shifted are options of a file with one line more above them.
func shifted(list []Option) []Option {
	out := slices.Clone(list)
	for i := range out {
		out[i].Line++
	}
	return out
}
