package units

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// genValue generates option values, some of them continued.
func genValue() *rapid.Generator[string] {
	part := rapid.StringMatching(`[a-zA-Z0-9/%="'.,:é漢-][a-zA-Z0-9/%="' .,:é漢#;\\-]{0,20}[a-zA-Z0-9]`)
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(part, 0, 3).Draw(t, "parts"), " \\\n  ")
	})
}

// genOptions generates options in the order they are serialized in.
func genOptions() *rapid.Generator[[]Option] {
	section := rapid.SampledFrom([]string{"Unit", "Service", "X-Fleet", "Install", "X-Other"})
	option := rapid.Custom(func(t *rapid.T) Option {
		return Option{
			Section: section.Draw(t, "section"),
			Name:    rapid.StringMatching(`[A-Z][a-zA-Z-]{0,8}`).Draw(t, "name"),
			Value:   genValue().Draw(t, "value"),
		}
	})
	return rapid.Custom(func(t *rapid.T) []Option {
		return grouped(rapid.SliceOfN(option, 1, 12).Draw(t, "options"))
	})
}

// write lays options out as a person might, with noise between them.
func write(t *rapid.T, opts []Option, noise *rapid.Generator[string]) string {
	var b strings.Builder
	section := ""
	for _, o := range opts {
		b.WriteString(noise.Draw(t, "noise"))
		if o.Section != section {
			section = o.Section
			b.WriteString("[" + section + "]\n")
			b.WriteString(noise.Draw(t, "noise"))
		}
		b.WriteString(o.Name + "=" + o.Value + "\n")
	}
	b.WriteString(noise.Draw(t, "noise"))
	return b.String()
}

func TestFileProperties(t *testing.T) {
	noise := rapid.SampledFrom([]string{"", "\n", " \t\n", "# a comment\n", "  ; it's another = [one]\n", "# long \\\n#  one\n", "#a \\\n\n"})
	rapid.Check(t, func(t *rapid.T) {
		opts := genOptions().Draw(t, "options")
		bare := write(t, opts, rapid.Just(""))
		noisy := write(t, opts, noise)
		a, err := ParseFile(bare)
		if err != nil {
			t.Fatalf("%v in %q", err, bare)
		}
		b, err := ParseFile(noisy)
		if err != nil {
			t.Fatalf("%v in %q", err, noisy)
		}
		if a.Content() != bare || b.Content() != noisy {
			t.Fatal("the content isn't what was submitted")
		}
		if a.Hash() != b.Hash() {
			t.Fatalf("comments changed the hash of %q to that of %q", bare, noisy)
		}
		for _, got := range []*File{a, b} {
			if i := differing(got.Written(), opts); i >= 0 {
				t.Fatalf("option %d of %+v differs from %+v", i, got.Written(), opts)
			}
			lines := strings.Split(got.Content(), "\n")
			for _, o := range got.Written() {
				if first, _, _ := strings.Cut(o.Value, "\n"); lines[o.Line-1] != o.Name+"="+first {
					t.Fatalf("line %d of %q is not %s=%s", o.Line, got.Content(), o.Name, first)
				}
			}
			again, err := FileFromOptions(got.Written())
			if err != nil {
				t.Fatal(err)
			}
			if again.Hash() != got.Hash() {
				t.Fatalf("the hash of %q changed with %q", got.Content(), again.Content())
			}
		}
	})
}

// TestHashTellsFilesApart changes one option and wants another hash.
func TestHashTellsFilesApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts := genOptions().Draw(t, "options")
		a, err := FileFromOptions(opts)
		if err != nil {
			t.Fatal(err)
		}
		changed := a.Written()
		changed[rapid.IntRange(0, len(changed)-1).Draw(t, "which")].Name += "x"
		b, err := FileFromOptions(changed)
		if err != nil {
			t.Fatal(err)
		}
		if a.Hash() == b.Hash() {
			t.Fatalf("%q and %q have one hash", a.Content(), b.Content())
		}
	})
}

func genName() *rapid.Generator[string] {
	return rapid.StringMatching(`[a-z:_.\\-]{1,8}(@[a-z0-9:_.@\\-]{0,8})?\.(service|socket|timer|path|target)`)
}

func TestNameProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genName().Draw(t, "name")
		n, err := ParseName(s)
		if err != nil {
			t.Fatal(err)
		}
		checkName(t, s, n)
	})
}

// checkName checks that the parts of a name are parts of it.
func checkName(t interface {
	Fatalf(format string, args ...any)
}, s string, n Name) {
	if n.String() != s || n.Base()+"."+n.Type() != s || !strings.HasPrefix(s, n.Prefix()) || n.Prefix() == "" {
		t.Fatalf("%q falls into %q, %q, %q", s, n.Base(), n.Prefix(), n.Type())
	}
	switch {
	case n.IsTemplate() && n.IsInstance():
		t.Fatalf("%q is a template and an instance", s)
	case n.IsInstance():
		template, err := ParseName(n.Template())
		if err != nil || !template.IsTemplate() || template.Prefix() != n.Prefix() || n.Prefix()+"@"+n.Instance() != n.Base() {
			t.Fatalf("%q is the instance %q of %q, %v", s, n.Instance(), n.Template(), err)
		}
	case n.Template() != "" || n.Instance() != "":
		t.Fatalf("%q is no instance and has one", s)
	}
}

// TestExpandProperties builds values of specifiers and text, and their
// expansions beside them.
func TestExpandProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, err := ParseName(genName().Draw(t, "name"))
		if err != nil {
			t.Fatal(err)
		}
		text := rapid.StringMatching(`[a-z0-9 =*.@-]{0,6}`)
		means := map[string]string{"%n": n.String(), "%N": n.Base(), "%p": n.Prefix(), "%i": n.Instance(), "%%": "%", "%.": "%.", "": ""}
		word := rapid.SampledFrom([]string{"%n", "%N", "%p", "%i", "%%", "%.", ""})
		var value, want string
		for range rapid.IntRange(0, 5).Draw(t, "words") {
			w, s := word.Draw(t, "word"), text.Draw(t, "text")
			value += w + s
			want += means[w] + s
		}
		got, err := expand(value, n)
		if err != nil || got != want {
			t.Fatalf("expand(%q, %s) = %q, %v, want %q", value, n, got, err, want)
		}
	})
}

// TestMetadataProperties spreads pairs over lines in any way and wants them all, once.
func TestMetadataProperties(t *testing.T) {
	n := mustName(t, "web.service")
	pair := rapid.StringMatching(`[a-c]=[x-z]`)
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(rapid.SliceOfN(pair, 1, 4), 1, 4).Draw(t, "lines")
		content := "[X-Fleet]\n"
		want := map[string]map[string]bool{}
		for _, line := range lines {
			content += `MachineMetadata="` + strings.Join(line, `" "`) + "\"\n"
			for _, p := range line {
				if want[p[:1]] == nil {
					want[p[:1]] = map[string]bool{}
				}
				want[p[:1]][p[2:]] = true
			}
		}
		f, err := ParseFile(content)
		if err != nil {
			t.Fatal(err)
		}
		req, err := f.Requirements(n)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]map[string]bool{}
		for key, values := range req.Metadata {
			got[key] = map[string]bool{}
			for _, v := range values {
				if got[key][v] {
					t.Fatalf("%s=%s twice", key, v)
				}
				got[key][v] = true
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q asks for %v, want %v", content, got, want)
		}
	})
}
