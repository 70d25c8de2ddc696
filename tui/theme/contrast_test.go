package theme

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"

	"fleettop/tui/config"
	"fleettop/tui/theme/shipped"
)

// legible is the least contrast of text with its ground. Solarized's own text
// has 4 on light; 3 is asked for large letters, and for signs.
const legible = 2.9

// terminals are those people have: the sixteen colours, and the grounds.
var terminals = []struct{ name, colours, grounds string }{
	{"xterm", "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5 7f7f7f ff0000 00ff00 ffff00 5c5cff ff00ff 00ffff ffffff", "000000 ffffff"},
	{"the Linux console",
		"000000 aa0000 00aa00 aa5500 0000aa aa00aa 00aaaa aaaaaa 555555 ff5555 55ff55 ffff55 5555ff ff55ff 55ffff ffffff",
		"000000"},
	{"Solarized", "073642 dc322f 859900 b58900 268bd2 d33682 2aa198 eee8d5 002b36 cb4b16 586e75 657b83 839496 6c71c4 93a1a1 fdf6e3", "002b36 fdf6e3"},
	{"macOS", "000000 c23621 25bc24 adad27 492ee1 d338d3 33bbc8 cbcccd 818383 fc391f 31e722 eaec23 5833ff f935f8 14f0f0 e9ebeb", "000000 ffffff"},
}

// luminance is how bright a colour is to the eye, from 0 to 1.
func luminance(hex string) float64 {
	sum := 0.0
	for i, share := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			panic(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += share * c
	}
	return sum
}

func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func hexOf(n int, sixteen []string) string {
	switch {
	case n < 16:
		return sixteen[n]
	case n >= 232:
		return strings.Repeat(fmt.Sprintf("%02x", 8+10*(n-232)), 3)
	}
	steps := []int{0, 0x5f, 0x87, 0xaf, 0xd7, 0xff}
	n -= 16
	return fmt.Sprintf("%02x%02x%02x", steps[n/36], steps[n/6%6], steps[n%6])
}

// coloursOf are the numbers of an ink's text and ground; -1 for the terminal's own.
func coloursOf(t *testing.T, on string) (text, ground int, bold bool) {
	t.Helper()
	text, ground = -1, -1
	codes := strings.Split(strings.Trim(on, "\x1b[m"), ";")
	for i := 0; i < len(codes); i++ {
		n, err := strconv.Atoi(codes[i])
		switch {
		case on == "":
		case err != nil:
			t.Fatalf("%q: %v", on, err)
		case n == 1:
			bold = true
		case n < 10:
		case n >= 30 && n < 38:
			text = n - 30
		case n >= 90 && n < 98:
			text = n - 90 + 8
		case n >= 40 && n < 48:
			ground = n - 40
		case n == 38 || n == 48:
			c, err := strconv.Atoi(codes[i+2])
			if err != nil {
				t.Fatal(err)
			}
			if i += 2; n == 38 {
				text = c
			} else {
				ground = c
			}
		default:
			t.Fatalf("%q: %d is unknown to this test", on, n)
		}
	}
	return text, ground, bold
}

// grounds are the grounds that a theme is for; all where it isn't named here.
var grounds = map[string]func(hex string) bool{
	"dark":  func(hex string) bool { return luminance(hex) < 0.5 },
	"light": func(hex string) bool { return luminance(hex) > 0.5 },
}

// coloursByTheme are those of each theme there is.
func coloursByTheme(t *testing.T) map[string]Colours {
	t.Helper()
	all := map[string]Colours{"default": nil}
	settings, _, _ := config.Open("")
	for _, name := range shipped.Names() {
		c, warnings := settings.Use(name)
		if len(warnings) > 0 {
			t.Fatal(warnings)
		}
		all[name] = c.Colors
	}
	return all
}

// TestLegibleOnLightAndDark looks at each ink of each theme on each terminal people have.
func TestLegibleOnLightAndDark(t *testing.T) {
	for theme, colours := range coloursByTheme(t) {
		least := legible
		if theme == "high-contrast" {
			least = 7
		}
		r := lipgloss.NewRenderer(io.Discard)
		r.SetColorProfile(termenv.ANSI256)
		look, err := New(r, Options{Colours: colours})
		if err != nil {
			t.Fatal(err)
		}
		inks := look.inks()
		for i := range look.sources {
			inks[fmt.Sprint("source ", i)] = &look.sources[i]
		}
		for name, ink := range inks {
			text, ground, bold := coloursOf(t, ink.On)
			if text < 0 || text == 2 && name == "good" {
				continue // the terminal's own text, and its green: see defaults
			}
			shown := []int{text}
			if bold && text < 8 {
				shown = append(shown, text+8) // on many terminals bold is bright
			}
			for _, term := range terminals {
				sixteen := strings.Fields(term.colours)
				shownOn := strings.Fields(term.grounds)
				if ground >= 0 {
					shownOn = []string{hexOf(ground, sixteen)}
				}
				for _, on := range shownOn {
					if fits, ok := grounds[theme]; ok && ground < 0 && !fits(on) {
						continue
					}
					for _, n := range shown {
						if c := contrast(hexOf(n, sixteen), on); math.Round(c*10)/10 < least {
							t.Errorf("%s, %s: %s is %s on %s, a contrast of %.1f", term.name, theme, name, hexOf(n, sixteen), on, c)
						}
					}
				}
			}
		}
	}
}

// TestColourBlindEyesTellStatesApart: with the colours that are left to eyes
// without red or without green, well, busy and in trouble differ (Viénot, 1999).
func TestColourBlindEyesTellStatesApart(t *testing.T) {
	eyes := map[string][3][3]float64{
		"without red":   {{0.11238, 0.88762, 0}, {0.11238, 0.88762, 0}, {0.00401, -0.00401, 1}},
		"without green": {{0.29275, 0.70725, 0}, {0.29275, 0.70725, 0}, {-0.02234, 0.02234, 1}},
	}
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(termenv.ANSI256)
	look, err := New(r, Options{Colours: coloursByTheme(t)["colour-blind"]})
	if err != nil {
		t.Fatal(err)
	}
	for eye, sees := range eyes {
		seen := func(on string) (rgb [3]float64, solid bool) {
			text, _, _ := coloursOf(t, on)
			hex := hexOf(text, nil)
			var linear [3]float64
			for i := range linear {
				n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
				if err != nil {
					t.Fatal(err)
				}
				linear[i] = math.Pow(float64(n)/255, 2.2)
			}
			for i, row := range sees {
				rgb[i] = math.Pow(max(0, row[0]*linear[0]+row[1]*linear[1]+row[2]*linear[2]), 1/2.2)
			}
			return rgb, strings.Contains(on, ";7;") || strings.HasPrefix(on, "\x1b[7")
		}
		for pair, inks := range map[string][2]string{"well and in trouble": {look.Good.On, look.Bad.On},
			"well and busy": {look.Good.On, look.Busy.On}, "busy and in trouble": {look.Busy.On, look.Bad.On}} {
			a, solidA := seen(inks[0])
			b, solidB := seen(inks[1])
			apart := math.Hypot(math.Hypot(a[0]-b[0], a[1]-b[1]), a[2]-b[2])
			if apart < 0.3 && solidA == solidB {
				t.Errorf("to eyes %s, %s are only %.2f apart", eye, pair, apart)
			}
		}
	}
}

// TestSourcesKeepTheirColour holds that the same unit on the same machine looks
// the same today and tomorrow, and that few that are looked at together look alike.
func TestSourcesKeepTheirColour(t *testing.T) {
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(termenv.ANSI256)
	look, err := New(r, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := look.Source("web@1.service", "n1").On; got != "\x1b[1;35m" {
		t.Errorf("web@1.service on n1 is %q now", got)
	}
	seen := map[string]int{}
	for i := range 1000 {
		seen[look.Source(fmt.Sprintf("web@%d.service", i), "n1").On]++
	}
	for on, n := range seen {
		if n > 200 {
			t.Errorf("%d of 1000 sources are %q", n, on)
		}
	}
	if len(seen) != len(sources) {
		t.Errorf("%d colours are in use", len(seen))
	}
}
