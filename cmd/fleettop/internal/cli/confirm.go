package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"
)

// confirm asks a person at a terminal; anything but y or yes is a no. When ctx
// ends before the answer it returns its error: the read itself can't be ended,
// and goes on until the process does.
func (a *app) confirm(ctx context.Context, in *bufio.Reader, question string) (bool, error) {
	fmt.Fprintf(a.err, "%s [y/N] ", question)
	answered := make(chan string, 1)
	go func() {
		line, _ := in.ReadString('\n') // the end of the input is a no
		answered <- line
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.err)
		return false, ctx.Err()
	case line := <-answered:
		if !strings.HasSuffix(line, "\n") {
			fmt.Fprintln(a.err)
		}
		answer := strings.ToLower(strings.TrimSpace(line))
		return answer == "y" || answer == "yes", nil
	}
}
