package tui

import "github.com/muesli/termenv"

// noColour is the profile of a terminal without colours.
const noColour = termenv.Ascii
