// Command fleettop is the cluster-wide init system and its command line: the
// daemon, fleet's verbs, and the demo.
package main

import (
	"context"
	"os"
	"syscall"
	"time"
)

// Set by the linker: -X main.version=… -X main.commit=…
var (
	version string
	commit  string
)

func main() {
	began := time.Now()
	ctx, stop := untilSignal(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if code != 0 {
		paceRestart(ctx, os.Args[1:], code, began)
	}
	stop()
	os.Exit(code)
}
