package units

import (
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	tests := []struct {
		in, base, prefix, instance, kind, template string
		isTemplate, isInstance                     bool
	}{
		{in: "web.service", base: "web", prefix: "web", kind: "service"},
		{in: "web@.service", base: "web@", prefix: "web", kind: "service", isTemplate: true},
		{in: "web@1.service", base: "web@1", prefix: "web", instance: "1", kind: "service", template: "web@.service", isInstance: true},
		{in: "a@b@c.socket", base: "a@b@c", prefix: "a", instance: "b@c", kind: "socket", template: "a@.socket", isInstance: true},
		{in: "a.1@.timer", base: "a.1@", prefix: "a.1", kind: "timer", isTemplate: true},
		{in: "a.1@b.2.timer", base: "a.1@b.2", prefix: "a.1", instance: "b.2", kind: "timer", template: "a.1@.timer", isInstance: true},
		{in: "foo.service.path", base: "foo.service", prefix: "foo.service", kind: "path"},
		{in: `dev-disk\x2dA:b_c.target`, base: `dev-disk\x2dA:b_c`, prefix: `dev-disk\x2dA:b_c`, kind: "target"},
		{in: "var-lib.mount", base: "var-lib", prefix: "var-lib", kind: "mount"},
		{in: strings.Repeat("x", 247) + ".service", base: strings.Repeat("x", 247), prefix: strings.Repeat("x", 247), kind: "service"},
	}
	for _, tt := range tests {
		n, err := ParseName(tt.in)
		if err != nil {
			t.Errorf("ParseName(%q): %v", tt.in, err)
			continue
		}
		for what, pair := range map[string][2]string{
			"String":   {n.String(), tt.in},
			"Base":     {n.Base(), tt.base},
			"Prefix":   {n.Prefix(), tt.prefix},
			"Instance": {n.Instance(), tt.instance},
			"Type":     {n.Type(), tt.kind},
			"Template": {n.Template(), tt.template},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s of %q is %q, want %q", what, tt.in, pair[0], pair[1])
			}
		}
		if n.IsTemplate() != tt.isTemplate || n.IsInstance() != tt.isInstance {
			t.Errorf("%q: template %t, instance %t", tt.in, n.IsTemplate(), n.IsInstance())
		}
	}
}

// TestParseNameRefuses wants each error to name the thing at fault and what to do.
func TestParseNameRefuses(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", "empty: give one such as web.service"},
		{"web", `"web" has no type: add one, as in web.service`},
		{"web.", "ends in a dot: add a type, as in web.service"},
		{".service", `".service" has nothing before its type`},
		{"web.conf", "ends in .conf, which is no unit type: add or choose one of automount, mount, path, service, socket, target or timer"},
		{"web.Service", "ends in .Service"},
		{"@1.service", "nothing before the @"},
		{"@.service", "nothing before the @"},
		{"data@1.mount", "a mount unit can't be a template"},
		{"10-limits.conf", "a drop-in doesn't travel with its unit: write its settings into the unit file itself"},
		{"web.service.d", "a drop-in doesn't travel"},
		{"dir/web.service", "has a slash in it: give the name alone, such as web.service"},
		{"../../etc/passwd", "has a slash in it: give the name alone, such as web.service"},
		{"my web.service", "has a space in it"},
		{"web.service\n", "has a space in it"},
		{"web*.service", "has the character '*' in it"},
		{"wéb.service", "has the character 'é' in it"},
		{"web\x00.service", `has the character '\x00' in it`},
		{"web%i.service", "has the character '%' in it"},
		{strings.Repeat("x", 248) + ".service", "is 256 bytes long: shorten it to at most 255"},
	}
	for _, tt := range tests {
		n, err := ParseName(tt.in)
		if err == nil {
			t.Errorf("ParseName(%q) = %q, want an error", tt.in, n)
			continue
		}
		if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseName(%q): %v, want %q", tt.in, err, tt.want)
		}
	}
}

func TestZeroName(t *testing.T) {
	var n Name
	if n.String()+n.Base()+n.Prefix()+n.Instance()+n.Type()+n.Template() != "" || n.IsTemplate() || n.IsInstance() {
		t.Errorf("the zero name is something: %#v", n)
	}
}

func mustName(t testing.TB, s string) Name {
	t.Helper()
	n, err := ParseName(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
