package units

import "testing"

func TestMatchGlob(t *testing.T) {
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"web.service", "web.service", true},
		{"web.service", "web.socket", false},
		{"web@*", "web@1.service", true},
		{"web@*.service", "web@.service", true},
		{"*", "anything.timer", true},
		{"web@[1-3].service", "web@2.service", true},
		{"web@[^1-3].service", "web@2.service", false},
		{"web@?.service", "web@10.service", false},
		{"", "web.service", false},
		{"web@[", "web@[", false},
		{"*[", "web@1.service", false},
		{`dev\\x2d*`, `dev\x2da.service`, true},
	}
	for _, tt := range tests {
		if got := MatchGlob(tt.pattern, tt.name); got != tt.want {
			t.Errorf("MatchGlob(%q, %q) = %t", tt.pattern, tt.name, got)
		}
	}
}
