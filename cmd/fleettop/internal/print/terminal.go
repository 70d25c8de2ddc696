package print

import (
	"os"

	"golang.org/x/term"
)

// IsTerminal reports whether a person is at the other end of a reader or writer.
func IsTerminal(stream any) bool {
	if o, ok := stream.(*Output); ok {
		stream = o.w
	}
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
