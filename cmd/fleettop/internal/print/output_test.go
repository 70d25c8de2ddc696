package print_test

import (
	"bytes"
	"strings"
	"testing"

	"fleettop/cmd/fleettop/internal/print"
)

// TestOutputInPieces: wherever a text is cut, a terminal gets the same.
func TestOutputInPieces(t *testing.T) {
	const text = "a\x1b[31mred\x1b[0m ü 日本 \x1b]0;title\x07 \xff\u202e \x1b[2J\tend\r\n\x1b[38;5;12mink\x1b"
	const paints = "a\x1b[31mred\x1b[0m ü 日本 ^[]0;title^G \\xff\\u202e ^[[2J\tend^M\n\x1b[38;5;12mink"
	plain := strings.NewReplacer("\x1b", "^[").Replace(paints)
	for _, tc := range []struct {
		paints bool
		want   string
	}{{true, paints + "^["}, {false, plain + "^["}} {
		for cut := range len(text) + 1 {
			var b bytes.Buffer
			o := print.NewOutput(&b, true, tc.paints)
			for _, piece := range []string{text[:cut], text[cut:]} {
				if n, err := o.Write([]byte(piece)); n != len(piece) || err != nil {
					t.Fatal(n, err)
				}
			}
			o.Finish()
			if b.String() != tc.want {
				t.Errorf("cut at %d: %q, want %q", cut, b.String(), tc.want)
			}
		}
	}
	var b bytes.Buffer
	o := print.NewOutput(&b, false, false)
	if _, err := o.Write([]byte(text)); err != nil || b.String() != text {
		t.Errorf("a program gets %q, %v", b.String(), err)
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain ü 日本\ttab": "plain ü 日本\ttab", "\x1b[2J\x07": "^[[2J^G", "a\xffb\x00": `a\xffb^@`, "\u009b31m": `\u009b31m`, "\u202eevil": `\u202eevil`, "\x7f": "^?", "\r": "^M",
	} {
		if got := print.Printable(text); got != want {
			t.Errorf("%q shows as %q, not %q", text, got, want)
		}
	}
}
