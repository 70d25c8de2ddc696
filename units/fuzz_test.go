package units

import "testing"

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"", "web.service", "web@.service", "web@1.service", "a@b@c.socket", "..", "@.service", "x.mount", "x@y.mount", "a/b.service", "é.path"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseName(s); err == nil {
			checkName(t, s, n)
		}
	})
}

func FuzzParseFile(f *testing.F) {
	for _, s := range []string{
		"", "[Service]\nExecStart=/bin/a\n", "[A]\r\nB=c\r\n", "[A]\nB=c \\\n  d\n", "[A]\nB=c \\\n\nD=e\n", "[A]\nB=c\\", "\ufeff[A]\nB=c",
		"#c \\\n#d\n[A]\nB=c\n", "[A]\nB=c \\\n# d\n\nE=f", "[A]\nB=c \\\n# d \\\n e\n", "[A]\nB=c\n[C]\nD=e\n[A]\nF=g\n", "[A]\n\u0085B=\u00a0c\u00a0\n",
		"[A]\nB=\\\n\\\n\n", "[X-Fleet]\nMachineMetadata=\"a=b\" \"c=%i\"\nConflicts=%p@*\n", "[Service]\nType=oneshot\nExecStart=-/bin/a 'b c' ; @/bin/d \"\n",
	} {
		f.Add(s)
	}
	name, err := ParseName("web@1.service")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		file, err := ParseFile(s)
		if err != nil {
			return
		}
		if file.Content() != s {
			t.Fatalf("the content of %q became %q", s, file.Content())
		}
		for _, o := range file.Options() {
			if o.Line < 1 || o.Line > lineAt(s, len(s)) {
				t.Fatalf("%q: %s is on line %d", s, o.Name, o.Line)
			}
		}
		wantOptionsOf(t, s, file.Options())
		again, err := FileFromOptions(file.Written())
		if err != nil {
			t.Fatalf("%q doesn't survive serialization: %v", s, err)
		}
		if again.Hash() != file.Hash() {
			t.Fatalf("the hash of %q changed with %q", s, again.Content())
		}
		_ = Validate(name, file) // must not panic
	})
}
