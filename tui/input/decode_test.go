package input

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// answers are what terminals send to queries: colours, names, attributes,
// positions, modes, settings, graphics, clipboards.
var answers = []string{
	"\x1b]11;rgb:1d1d/1f1f/2121\a", "\x1b]10;rgb:ffff/ffff/ffff\x1b\\", "\x1b]4;1;rgb:cdcd/0000/0000\x1b\\",
	"\x1b]52;c;cXEgeCBkIGMgRA==\x1b\\", "\x1b]lqxdc title\x1b\\",
	"\x1bP>|xterm(388) cdxq\x1b\\", "\x1bP1+r544e=787465726d\x1b\\", "\x1bP1$r0 q\x1b\\", "\x1bP!|7E565445\x1b\\",
	"\x1bP0+r\x1b\\",
	"\x1b_Gi=31;OK\x1b\\", "\x1b_Gi=1;ENOENT:q c d D\x1b\\", "\x1b^qcdD\x1b\\", "\x1bXqcdD\x1b\\",
	"\x1b[?62;1;2;4c", "\x1b[?6c", "\x1b[>41;388;0c", "\x1b[=1;1c", "\x1b[0n", "\x1b[24;80R", "\x1b[1;2R",
	"\x1b[?24;80R", "\x1b[?2026;2$y", "\x1b[4;2$y",
	"\x1b[8;24;80t", "\x1b[4;600;800t", "\x1b[1t", "\x1b[?0u", "\x1b[?997;1n", "\x1b[I", "\x1b[O",
	"\x1b[3;1;1;120;120;1;0x",
}

// typed are keys as terminals send them, and what they are.
var typed = map[string]string{
	"\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOD": "left", "\x1b[5~": "pgup", "\x1b[6~": "pgdown",
	"\x1b[H": "home", "\x1b[F": "end", "\x1b[1~": "home",
	"\x1b[4~": "end", "\x1b[Z": "shift+tab", "\x1b[1;5C": "ctrl+right", "\x1b[1;2A": "shift+up",
	"\x1b[1;6D": "ctrl+shift+left", "\x1b[1;3B": "alt+down",
	"\x1b[3~": "delete", "\x1bOP": "f1", "\x1b[15~": "f5", "\x1b[[A": "f1", "\x1b[24~": "f12",
	"\x1b[1;5H": "ctrl+home", "\x1b[5;5~": "ctrl+pgup", "\x1b[6^": "ctrl+pgdown",
	"\x1b[a": "shift+up", "\x1b[27u": "esc", "\x1b[99;5u": "ctrl+c", "\x1b[27;5;99~": "ctrl+c", "\x1b[113u": "q",
	"\x1b[103;2u": "G", "\x1b[9;2u": "shift+tab",
}

// feed is a decoder with a clock of its own.
type feed struct {
	Decoder
	now  time.Time
	seen []string
}

func newFeed() *feed { return &feed{now: noon} }

func (f *feed) take(msgs []tea.Msg) {
	for _, m := range msgs {
		f.seen = append(f.seen, fmt.Sprint(m))
	}
}

func (f *feed) read(text string) { f.take(f.Feed([]byte(text), f.now)) }

// pass lets time go by, with Expire called when it is due.
func (f *feed) pass(d time.Duration) {
	end := f.now.Add(d)
	for {
		at, ok := f.Deadline()
		if !ok || at.After(end) {
			break
		}
		f.now = at
		f.take(f.Expire(at))
	}
	f.now = end
}

// TestAnswersAreNeverKeys sends each answer whole and cut at each place, the
// rest up to five seconds late, before and after real keys. A lone escape
// character can't be told from the key: it alone may come through.
func TestAnswersAreNeverKeys(t *testing.T) {
	for _, answer := range answers {
		for cut := 0; cut <= len(answer); cut++ {
			for _, late := range []time.Duration{0, 20 * time.Millisecond, 500 * time.Millisecond, 5 * time.Second} {
				f := newFeed()
				f.Opened(f.now)
				f.read("j")
				f.pass(time.Second)
				if cut > 0 {
					f.read(answer[:cut])
				}
				f.pass(late)
				f.read(answer[cut:])
				f.pass(10 * time.Second)
				f.read("k")
				got := strings.Join(f.seen, " ")
				want := "j k"
				if cut == 1 && late > escPatience {
					want = "j esc k"
				}
				if got != want {
					t.Errorf("%q cut at %d, the rest after %s: %q, want %q", answer, cut, late, got, want)
				}
			}
		}
	}
}

// TestManyAnswersInAnyPieces is the same by seed: several answers and keys
// between them, in pieces of any size that come one after the other.
func TestManyAnswersInAnyPieces(t *testing.T) {
	keys := make([]string, 0, len(typed))
	for k := range typed {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	rapid.Check(t, func(t *rapid.T) {
		f := newFeed()
		var want []string
		var stream strings.Builder
		for range rapid.IntRange(1, 8).Draw(t, "things") {
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				stream.WriteString(rapid.SampledFrom(answers).Draw(t, "answer"))
			case 1:
				k := rapid.SampledFrom(keys).Draw(t, "key")
				stream.WriteString(k)
				want = append(want, typed[k])
			case 2:
				stream.WriteString("\r")
				want = append(want, "enter")
			}
		}
		for text := stream.String(); text != ""; {
			n := rapid.IntRange(1, len(text)).Draw(t, "piece")
			f.read(text[:n])
			text = text[n:]
			f.pass(time.Duration(rapid.IntRange(0, 90).Draw(t, "ms")) * time.Millisecond)
		}
		f.pass(10 * time.Second)
		if got := strings.Join(f.seen, " "); got != strings.Join(want, " ") {
			t.Fatalf("%q is %q, want %q", stream.String(), got, want)
		}
	})
}

// TestKeysSplitByASlowLineAreKeys cuts each key at each place.
func TestKeysSplitByASlowLineAreKeys(t *testing.T) {
	for seq, want := range typed {
		for cut := 0; cut < len(seq); cut++ {
			for _, late := range []time.Duration{0, 50 * time.Millisecond, 2 * time.Second} {
				f := newFeed()
				f.read(seq[:cut])
				f.pass(late)
				f.read(seq[cut:])
				f.pass(10 * time.Second)
				got := strings.Join(f.seen, " ")
				if cut == 1 && late > escPatience {
					got = strings.TrimPrefix(got, "esc ") // a lone escape character is a key, too
				}
				if got != want {
					t.Errorf("%q cut at %d, the rest after %s: %q, want %q", seq, cut, late, got, want)
				}
			}
		}
	}
}

// TestTheRestOfAnotherProgramsAnswer: its beginning was read by the program
// that asked, and the rest comes when the console has just been opened.
func TestTheRestOfAnotherProgramsAnswer(t *testing.T) {
	for _, text := range []string{"2;4c", "62;1;2c", "[?62;4c", "11;rgb:1d1d/1f1f/2121\a", "1d1d/1f1f\x1b\\",
		"4;80R", "026;2$y"} {
		f := newFeed()
		f.Opened(f.now)
		f.pass(4 * time.Second)
		f.read(text)
		f.pass(10 * time.Second)
		if len(f.seen) > 0 {
			t.Errorf("%q is %q", text, f.seen)
		}
	}
	f := newFeed()
	f.Opened(f.now)
	f.read("2j")
	f.pass(time.Second)
	f.read("2n")
	f.pass(10 * time.Second)
	f.read("13;2c")
	if got := strings.Join(f.seen, " "); got != "2j 2n 13;2c" {
		t.Errorf("typed ahead, and later: %q", got)
	}
}

// TestAPersonIsNotSwallowed types what begins like an answer.
func TestAPersonIsNotSwallowed(t *testing.T) {
	slow := 400 * time.Millisecond
	for _, c := range []struct {
		parts []string
		want  string
	}{
		{[]string{"\x1b"}, "esc"}, {[]string{"\x1b", "q"}, "esc q"}, {[]string{"\x1bq"}, "alt+q"},
		{[]string{"\x1b\x1b"}, "esc esc"}, {[]string{"\x1b]", "q"}, "alt+] q"},
		{[]string{"\x1bP", "q"}, "alt+P q"}, {[]string{"\x1b]", "1"}, "alt+] 1"}, {[]string{"\x1b_", "q"},
			"alt+_ q"}, {[]string{"\x1bO", "q"}, "alt+O q"},
		{[]string{"\x1b[", "\x03"}, "ctrl+c"}, {[]string{"\x1b]11;", "\x03"}, "ctrl+c"}, {[]string{"\x1b", "]",
			"j"}, "esc ] j"}, {[]string{"\x1b\r"}, "alt+enter"},
		{[]string{"é数"}, "é数"}, {[]string{"\xe6", "\x95\xb0"}, "数"}, {[]string{"\xe9"}, ""}, {[]string{"\x1bé"},
			"alt+é"}, {[]string{"\x1b\x7f"}, "alt+backspace"},
		{[]string{"\x1b[200~D\x1b[A", "q\x1b[201", "~j"}, "[D\x1b[Aq] j"}, {[]string{"\x00 \t"}, "ctrl+@   tab"},
	} {
		f := newFeed()
		for _, p := range c.parts {
			f.read(p)
			f.pass(slow)
		}
		f.pass(10 * time.Second)
		if got := strings.Join(f.seen, " "); got != c.want {
			t.Errorf("%q is %q, want %q", c.parts, got, c.want)
		}
	}
}

// TestNothingIsWaitedForForEver: after garbage and some seconds, a key is a key.
func TestNothingIsWaitedForForEver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFeed()
		f.Mouse = rapid.Bool().Draw(t, "mouse")
		for range rapid.IntRange(1, 6).Draw(t, "chunks") {
			f.read(string(rapid.SliceOfN(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte("\x1b[]P_^O;0?~\\"))),
				1, 20).Draw(t, "bytes")))
			f.pass(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
		}
		f.pass(10 * time.Second)
		f.seen = nil
		f.read("q")
		if got := strings.Join(f.seen, " "); got != "q" {
			t.Fatalf("q is %q", got)
		}
	})
}

func TestMouse(t *testing.T) {
	f := newFeed()
	f.Mouse = true
	got := f.Feed([]byte("\x1b[<0;5;3M\x1b[<0;5;3m\x1b[<64;1;1M\x1b[M !!"), f.now)
	if len(got) != 4 {
		t.Fatalf("%v", got)
	}
	if m := got[0].(tea.MouseMsg); m.X != 4 || m.Y != 2 || m.Button != tea.MouseButtonLeft ||
		m.Action != tea.MouseActionPress {
		t.Errorf("%+v", m)
	}
	if m := got[2].(tea.MouseMsg); m.Button != tea.MouseButtonWheelUp {
		t.Errorf("%+v", m)
	}
	if m := got[3].(tea.MouseMsg); m.X != 0 || m.Y != 0 || m.Button != tea.MouseButtonLeft {
		t.Errorf("%+v", m)
	}
}
