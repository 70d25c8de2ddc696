package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"
)

// confirm asks a person at a terminal; anything but y or yes is a no.
func (a *app) confirm(ctx context.Context, in *bufio.Reader, question string) (bool, error) {
	answer, err := a.ask(ctx, in, question+" [y/N]")
	answer = strings.ToLower(answer)
	return err == nil && (answer == "y" || answer == "yes"), err
}

// ask returns the line that a person at a terminal types. When ctx ends before it
// returns its error: the read itself can't be ended, and goes on until the process does.
func (a *app) ask(ctx context.Context, in *bufio.Reader, question string) (string, error) {
	fmt.Fprintf(a.err, "%s ", question)
	answered := make(chan string, 1)
	go func() {
		line, _ := in.ReadString('\n') // the end of the input is an empty line
		answered <- line
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.err)
		return "", ctx.Err()
	case line := <-answered:
		if !strings.HasSuffix(line, "\n") {
			fmt.Fprintln(a.err)
		}
		return strings.TrimSpace(line), nil
	}
}
