package print

// Colour is a number of ANSI's SGR, or empty for none.
type Colour string

// The colours of the command line.
const (
	Plain  Colour = ""
	Red    Colour = "31"
	Green  Colour = "32"
	Yellow Colour = "33"
	Dim    Colour = "2"
	Bold   Colour = "1"
)

// Paint returns a text in a colour where on is set, and else the text.
func Paint(on bool, colour Colour, text string) string {
	if !on || colour == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(colour) + "m" + text + "\x1b[0m"
}

// StateColour returns the colour of an active state, load state or health state.
func StateColour(state string) Colour {
	switch state {
	case "active", "up", "running", "launched":
		return Green
	case "failed", "error", "bad-setting", "not-found", "down":
		return Red
	case "unknown", "unplaced", "activating", "deactivating", "reloading", "suspect", "daemon-gone", "auto-restart",
		"cordoned", "drained", "masked":
		return Yellow
	case "inactive", "dead", "-":
		return Dim
	}
	return Plain
}

// LoadColour returns the colour of a load state: the usual one has none.
func LoadColour(load string) Colour {
	if load == "loaded" {
		return Plain
	}
	return StateColour(load)
}
