// Command fleetlab runs real systemd machines on one Linux box, to try
// fleettop on and to break.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"fleettop/cmd/fleetlab/lab"
)

func main() {
	// The cable's process first: it has nothing to do with the command line for people.
	if len(os.Args) > 1 && os.Args[1] == cableVerb {
		exit(lab.RunCable(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := command().ExecuteContext(ctx)
	stop()
	exit(err)
}

// exit ends the process: with a remote command's own exit code if that is what failed.
func exit(err error) {
	if err == nil {
		os.Exit(0)
	}
	if failed, ok := errors.AsType[*exec.ExitError](err); ok && failed.ExitCode() > 0 {
		os.Exit(failed.ExitCode())
	}
	fmt.Fprintln(os.Stderr, "fleetlab:", err)
	os.Exit(1)
}
